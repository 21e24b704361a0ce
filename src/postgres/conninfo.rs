//! Connection strings in libpq's keyword/value form, and its password file.

/// A connection string being put together.
#[derive(Clone, Debug, Default)]
pub(super) struct Conninfo(String);

impl Conninfo {
    /// With one more option.
    pub(super) fn with(mut self, keyword: &str, value: &str) -> Self {
        if !self.0.is_empty() {
            self.0.push(' ');
        }
        self.0.push_str(keyword);
        self.0.push('=');
        self.0.push_str(&quoted(value));
        self
    }

    /// With more options.
    pub(super) fn with_all<'a>(
        self,
        options: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        options.into_iter().fold(self, |conninfo, (keyword, value)| conninfo.with(keyword, value))
    }

    /// The text.
    pub(super) fn into_text(self) -> String {
        self.0
    }
}

fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:,@%+".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// Reads a connection string: keywords and values. What is not one ends the list.
pub(super) fn parse(text: &str) -> Vec<(String, String)> {
    let mut options = Vec::new();
    let mut letters = text.chars().peekable();
    loop {
        while letters.next_if(|c| c.is_whitespace()).is_some() {}
        let mut keyword = String::new();
        while let Some(letter) = letters.next_if(|c| *c != '=' && !c.is_whitespace()) {
            keyword.push(letter);
        }
        while letters.next_if(|c| c.is_whitespace()).is_some() {}
        if keyword.is_empty() || letters.next() != Some('=') {
            return options;
        }
        while letters.next_if(|c| c.is_whitespace()).is_some() {}
        let is_quoted = letters.next_if_eq(&'\'').is_some();
        let mut value = String::new();
        while let Some(letter) =
            letters.next_if(|c| if is_quoted { *c != '\'' } else { !c.is_whitespace() })
        {
            value.push(if letter == '\\' { letters.next().unwrap_or('\\') } else { letter });
        }
        if is_quoted {
            letters.next();
        }
        options.push((keyword, value));
    }
}

/// One line of a password file that counts for every server and database.
pub(super) fn password_line(user: &str, password: &str) -> String {
    let escaped = |text: &str| text.replace('\\', "\\\\").replace(':', "\\:");
    format!("*:*:*:{}:{}\n", escaped(user), escaped(password))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_together_is_read_back() {
        let values = ["plain", "", "with blank", "it's", "back\\slash", "host=evil", "a'b\\'c "];
        for value in values {
            let text = Conninfo::default().with("user", value).with("port", "5432").into_text();
            let expected = [("user", value), ("port", "5432")];
            let expected = expected.map(|(k, v)| (k.to_owned(), v.to_owned()));
            assert_eq!(parse(&text), expected, "{text}");
        }
    }

    #[test]
    fn what_people_write_is_read() {
        let read = parse("host = 10.0.0.1  port=5433 password='x y'");
        assert_eq!(read[0], ("host".into(), "10.0.0.1".into()));
        assert_eq!(read[2], ("password".into(), "x y".into()));
        assert_eq!(parse("nonsense"), []);
        assert_eq!(parse("a='never closed"), [("a".into(), "never closed".into())]);
    }

    #[test]
    fn a_password_may_hold_colons() {
        assert_eq!(password_line("a:b", "p\\:w"), "*:*:*:a\\:b:p\\\\\\:w\n");
    }
}
