//! Schemas of Protobuf: the messages of a `.proto` file.

use super::SchemaError;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use prost_reflect::{FileDescriptor, MessageDescriptor};
use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

/// The name of the file that is compiled. Its imports have names of their own.
const MAIN: &str = "@schema.proto";

/// A file of Protobuf and what it imports.
#[derive(Clone, Debug)]
pub struct ProtobufSchema(FileDescriptor);

impl ProtobufSchema {
    /// Compiles a `.proto` file, or a serialised descriptor of one in Base64, with the files that it imports.
    ///
    /// # Errors
    /// [`SchemaError`] with what is wrong with it.
    pub fn compile(text: &str, references: &[(String, String)]) -> Result<Self, SchemaError> {
        let mut files = ChainFileResolver::new();
        files.add(Texts { main: text.to_owned(), references: references.to_vec() });
        files.add(GoogleFileResolver::new());
        let failed = |e: protox::Error| SchemaError(format!("it is no schema of Protobuf: {e}"));
        let mut compiler = Compiler::with_file_resolver(files);
        compiler.include_imports(true).open_file(MAIN).map_err(failed)?;
        let pool = compiler.descriptor_pool();
        let file = pool.get_file_by_name(MAIN);
        file.map(Self).ok_or_else(|| SchemaError("it is no schema of Protobuf".to_owned()))
    }

    /// The message that indexes lead to: the first is the number of a message in the file, each further one that of a
    /// message inside the one before.
    pub fn message_at(&self, indexes: &[usize]) -> Option<MessageDescriptor> {
        let (first, rest) = indexes.split_first()?;
        let first = self.0.messages().nth(*first);
        rest.iter().fold(first, |message, index| message?.child_messages().nth(*index))
    }

    /// A message by its full name.
    pub fn message(&self, name: &str) -> Option<MessageDescriptor> {
        self.0.parent_pool().get_message_by_name(name)
    }
}

/// Files that are texts.
struct Texts {
    main: String,
    references: Vec<(String, String)>,
}

impl FileResolver for Texts {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        let found = self.references.iter().find(|(reference, _)| reference == name);
        let text = if name == MAIN { Some(&self.main) } else { found.map(|(_, text)| text) };
        let text = text.ok_or_else(|| protox::Error::file_not_found(name))?;
        // Confluent's client for Python registers a serialised descriptor.
        if let Ok(bytes) = BASE64_STANDARD.decode(text.trim())
            && let Ok(file) = File::decode_file_descriptor_proto(&*bytes)
        {
            let mut file = prost_reflect::prost_types::FileDescriptorProto::from(file);
            file.name = Some(name.to_owned());
            return Ok(File::from_file_descriptor_proto(file));
        }
        File::from_source(name, text)
    }
}
