use safetensors::tensor::SafeTensorError;

/// The newest format that this program writes and reads: 2 is that of several networks.
pub const FORMAT_VERSION: u32 = 2;

/// The reason why bytes are not a model that this program can use.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    #[error("not a whole safetensors file: {0}")]
    File(#[from] SafeTensorError),
    #[error("format version {found} is newer than {FORMAT_VERSION}, the newest that this program reads")]
    Newer { found: u32 },
    #[error("metadata {key:?} is missing")]
    Missing { key: &'static str },
    #[error("metadata {key:?} is {value:?}, which cannot be")]
    Metadata { key: String, value: String },
    #[error("metadata key {0:?} is the format's own")]
    Reserved(String),
    #[error("tensor {name:?} should be f32 of shape {expected:?} but is {found}")]
    Shape { name: String, expected: Vec<usize>, found: String },
    #[error("tensor {0:?} is missing")]
    Tensor(String),
    #[error("the tensors' bytes are not those that were saved")]
    Digest,
}
