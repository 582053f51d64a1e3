//! Words that some writers put where JSON wants a number: Python's `NaN`, `Infinity` and `-Infinity`, C's
//! `nan`, `-nan` and `inf`.

/// Copies a text that is not JSON with `null` for each such word; the places of these nulls in `out` go to
/// `places`, in ascending order. `false` when the text has no such word, so that nothing can be mended.
#[cold]
pub fn mend(text: &str, out: &mut String, places: &mut Vec<usize>) -> bool {
    out.clear();
    places.clear();
    let bytes = text.as_bytes();
    let (mut at, mut copied) = (0, 0);
    // Whether a value may begin here.
    let mut is_value = true;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at = end_of_string(bytes, at);
                is_value = false;
                continue;
            }
            b':' | b',' | b'[' => is_value = true,
            b' ' | b'\t' | b'\n' | b'\r' => {}
            _ if is_value => {
                let end = bytes[at..].iter().position(|b| b",]}: \t\n\r\"[{".contains(b));
                let end = end.map_or(bytes.len(), |len| at + len);
                if end > at && is_no_number(&bytes[at..end]) {
                    out.push_str(&text[copied..at]);
                    places.push(out.len());
                    out.push_str("null");
                    (at, copied) = (end, end);
                    is_value = false;
                    continue;
                }
                is_value = false;
            }
            _ => is_value = false,
        }
        at += 1;
    }
    out.push_str(&text[copied..]);
    !places.is_empty()
}

/// Where the string that begins at `at` is over.
fn end_of_string(bytes: &[u8], at: usize) -> usize {
    let mut end = at + 1;
    while let Some(byte) = bytes.get(end) {
        match byte {
            b'"' => return end + 1,
            b'\\' => end += 2,
            _ => end += 1,
        }
    }
    bytes.len()
}

fn is_no_number(word: &[u8]) -> bool {
    let word = word.strip_prefix(b"-").or_else(|| word.strip_prefix(b"+")).unwrap_or(word);
    [&b"nan"[..], b"inf", b"infinity"].iter().any(|known| word.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mended(text: &str) -> Option<String> {
        let (mut out, mut places) = ("left over".to_owned(), vec![7]);
        let any = mend(text, &mut out, &mut places);
        assert!(places.iter().all(|at| out[*at..].starts_with("null")), "{text}");
        any.then_some(out)
    }

    #[test]
    fn words_outside_strings_become_null() {
        for (text, want) in [
            ("{\"a\":NaN}", "{\"a\":null}"),
            ("{\"a\": -Infinity , \"b\":[Infinity,+inf,nan]}", "{\"a\": null , \"b\":[null,null,null]}"),
            ("[NaN,{\"NaN\":\"a\\\":NaN\",\"b\":-nan}]", "[null,{\"NaN\":\"a\\\":NaN\",\"b\":null}]"),
            ("NaN", "null"),
        ] {
            assert_eq!(mended(text).as_deref(), Some(want), "{text}");
        }
        for text in ["", "{\"a\":nano}", "{\"a\":\"NaN\"}", "{NaN:1}", "{\"a\":1 NaN}", "\"\\", "{\"a\":é}"]
        {
            assert_eq!(mended(text), None, "{text}");
        }
    }

    proptest! {
        /// Whatever is JSON but for these words is JSON afterwards.
        #[test]
        fn what_python_writes_is_read(
            words in prop::collection::vec(
                prop_oneof![Just("NaN"), Just("-Infinity"), Just("1.5"), Just("\"x, NaN]\""), Just("{\"k\":Infinity}")], 1..9
            ),
            spaced in any::<bool>(),
        ) {
            let text = format!("[{}]", words.join(if spaced { " , " } else { "," }));
            let mut out = String::new();
            let mut places = Vec::new();
            let any = mend(&text, &mut out, &mut places);
            let value: Vec<serde_json::Value> = serde_json::from_str(&out).unwrap();
            prop_assert_eq!(value.len(), words.len());
            prop_assert_eq!(any, words.iter().any(|w| w.contains('N') && !w.starts_with('"') || w.contains("Inf")));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[\\[{\"\\\\:, Nanif+é-]{0,30}") {
            mended(&text);
        }
    }
}
