//! As much of the GraphQL language as clients of Weaviate send: one anonymous query, fields with
//! arguments and selections.

use serde_json::{Map, Value};

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Field {
    pub name: String,
    pub arguments: Map<String, Value>,
    pub fields: Vec<Field>,
    pub line: usize,
    pub column: usize,
}

impl Field {
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    pub fn text(&self, argument: &str) -> Option<&str> {
        self.arguments.get(argument).and_then(Value::as_str)
    }

    pub fn size(&self, argument: &str) -> Option<usize> {
        self.arguments.get(argument).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok())
    }
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("Syntax Error GraphQL request ({line}:{column}) Unexpected {found}")]
pub struct SyntaxError {
    line: usize,
    column: usize,
    found: String,
}

pub fn query(text: &str) -> Result<Vec<Field>, SyntaxError> {
    let mut parser = Parser { text, at: 0 };
    parser.blank();
    if parser.rest().starts_with("query") {
        parser.name()?;
        if parser.peek() != Some('{') {
            parser.name()?;
        }
    }
    parser.selection()
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn blank(&mut self) {
        let rest = self.rest().trim_start_matches(|c: char| c.is_whitespace() || c == ',' || c == '\u{feff}');
        self.at = self.text.len() - rest.len();
    }

    fn peek(&mut self) -> Option<char> {
        self.blank();
        self.rest().chars().next()
    }

    fn place(&self) -> (usize, usize) {
        let before = &self.text[..self.at];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    fn unexpected<T>(&mut self) -> Result<T, SyntaxError> {
        let found = self.peek().map_or_else(|| "EOF".to_owned(), |c| format!("\"{c}\""));
        let (line, column) = self.place();
        Err(SyntaxError { line, column, found })
    }

    fn expect(&mut self, wanted: char) -> Result<(), SyntaxError> {
        if self.peek() != Some(wanted) {
            return self.unexpected();
        }
        self.at += wanted.len_utf8();
        Ok(())
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c| !wanted(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn name(&mut self) -> Result<String, SyntaxError> {
        self.blank();
        let name = self.take_while(|c| c.is_ascii_alphanumeric() || c == '_');
        if name.is_empty() { self.unexpected() } else { Ok(name.to_owned()) }
    }

    fn selection(&mut self) -> Result<Vec<Field>, SyntaxError> {
        self.expect('{')?;
        let mut fields = Vec::new();
        while self.peek() != Some('}') {
            let (line, column) = self.place();
            let name = self.name()?;
            let arguments = if self.peek() == Some('(') { self.arguments('(', ')')? } else { Map::new() };
            let nested = if self.peek() == Some('{') { self.selection()? } else { Vec::new() };
            fields.push(Field { name, arguments, fields: nested, line, column });
        }
        self.expect('}')?;
        Ok(fields)
    }

    fn arguments(&mut self, open: char, close: char) -> Result<Map<String, Value>, SyntaxError> {
        self.expect(open)?;
        let mut map = Map::new();
        while self.peek() != Some(close) {
            let name = self.name()?;
            self.expect(':')?;
            let value = self.value()?;
            map.insert(name, value);
        }
        self.expect(close)?;
        Ok(map)
    }

    fn value(&mut self) -> Result<Value, SyntaxError> {
        match self.peek() {
            Some('"') => self.string(),
            Some('[') => {
                self.expect('[')?;
                let mut items = Vec::new();
                while self.peek() != Some(']') {
                    items.push(self.value()?);
                }
                self.expect(']')?;
                Ok(items.into())
            }
            Some('{') => self.arguments('{', '}').map(Value::Object),
            Some(c) if c == '-' || c.is_ascii_digit() => {
                let text = self.take_while(|c| c.is_ascii_digit() || "+-.eE".contains(c));
                serde_json::from_str(text).or_else(|_| self.unexpected())
            }
            Some(_) => self.name().map(|name| match name.as_str() {
                "true" => true.into(),
                "false" => false.into(),
                "null" => Value::Null,
                _ => name.into(),
            }),
            None => self.unexpected(),
        }
    }

    fn string(&mut self) -> Result<Value, SyntaxError> {
        let mut stream = serde_json::Deserializer::from_str(self.rest()).into_iter::<String>();
        match stream.next() {
            Some(Ok(text)) => {
                self.at += stream.byte_offset();
                Ok(text.into())
            }
            _ => self.unexpected(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_arguments_and_places_are_found() {
        let fields = query("{ Aggregate { Chunk(tenant:\"cold\") { meta { count } } } }").unwrap();
        let chunk = &fields[0].fields[0];
        assert_eq!((chunk.name.as_str(), chunk.line, chunk.column), ("Chunk", 1, 15));
        assert_eq!(chunk.text("tenant"), Some("cold"));
        let fields = query("query { Get { A(nearVector:{vector:[0.1, -2]}, limit:2) { t } } }").unwrap();
        assert_eq!(fields[0].fields[0].arguments["nearVector"]["vector"][1], -2);
        assert!(query("{ Get { ").is_err());
    }
}
