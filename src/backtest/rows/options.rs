use super::number::Decimal;
use encoding_rs::Encoding;

/// How a CSV is written. What is not set is guessed from its first lines, and printed to standard error.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "How a CSV is written")]
pub(crate) struct CsvOptions {
    /// The character between two fields, or `tab`. Default: the one of , ; tab | that gives the columns that the
    /// config names. Example: --delimiter ';'
    #[arg(long, value_name = "CHAR", value_parser = delimiter)]
    pub delimiter: Option<u8>,
    /// The sign before a number's fraction, `.` or `,`; thousands may then be grouped (1.234,5). Default: guessed
    /// from the first rows. Example: --decimal ,
    #[arg(long, value_name = "CHAR", value_parser = decimal)]
    pub decimal: Option<Decimal>,
    /// The encoding, by its name on the web: utf-8, latin1, windows-1250, utf-16le, shift_jis, … Default: that of the
    /// byte order mark, or UTF-8. Example: --encoding latin1
    #[arg(long, value_name = "NAME", value_parser = encoding)]
    pub encoding: Option<&'static Encoding>,
    /// The file has no header: its columns are c1, c2, … Example: fields = { series = "/c1", time = "/c2" } in
    /// the config
    #[arg(long)]
    pub no_header: bool,
    /// The file has no header: its columns have these names. Example: --columns id,time,temp
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub columns: Vec<String>,
    /// Leave out lines that begin with this character. Default: those before the header that begin with #.
    /// Example: --comment %
    #[arg(long, value_name = "CHAR", value_parser = character)]
    pub comment: Option<u8>,
    /// Leave out this many lines before the header. Example: --skip-lines 3
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub skip_lines: u64,
}

impl CsvOptions {
    pub fn has_header(&self) -> bool {
        !self.no_header && self.columns.is_empty()
    }

    /// Whether any option was set.
    pub fn is_set(&self) -> bool {
        let options = self.delimiter.is_some() || self.decimal.is_some() || self.encoding.is_some();
        options || !self.has_header() || self.comment.is_some() || self.skip_lines > 0
    }
}

fn character(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        [byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r' | b'"') => Ok(*byte),
        _ => Err("one ASCII character is expected".to_owned()),
    }
}

fn delimiter(text: &str) -> Result<u8, String> {
    match text {
        "tab" | "\\t" => Ok(b'\t'),
        _ => character(text).map_err(|_| "one ASCII character, or tab, is expected".to_owned()),
    }
}

fn decimal(text: &str) -> Result<Decimal, String> {
    match text {
        "." => Ok(Decimal::Point),
        "," => Ok(Decimal::Comma),
        _ => Err("\".\" or \",\" is expected".to_owned()),
    }
}

fn encoding(text: &str) -> Result<&'static Encoding, String> {
    let found = Encoding::for_label(text.trim().as_bytes());
    found.filter(|e| *e != encoding_rs::REPLACEMENT).ok_or_else(|| {
        "no such encoding is known; there are utf-8, latin1, windows-1250 to windows-1258, iso-8859-2 to iso-8859-16, \
         koi8-r, macintosh, utf-16le, utf-16be, gbk, gb18030, big5, shift_jis, euc-jp and euc-kr"
            .to_owned()
    })
}

/// A delimiter for people.
pub(super) fn named(delimiter: u8) -> String {
    match delimiter {
        b'\t' => "tab".to_owned(),
        other => format!("'{}'", char::from(other)),
    }
}
