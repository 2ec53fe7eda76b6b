//! One object in the binary form that Weaviate keeps in its `objects` bucket (marshaller version 1).
//!
//! ```text
//! 1 │ doc id u64 │ kind u8 │ uuid 16 │ created i64 │ updated i64 │ n u16, n × f32 │ class │ properties │ null │ null │ zeros
//! ```

use serde_json::{Map, Value, json};
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    pub id: Uuid,
    pub doc: u64,
    pub class: String,
    pub created: i64,
    pub updated: i64,
    pub properties: Map<String, Value>,
    pub vector: Vec<f32>,
}

#[derive(Debug, thiserror::Error)]
#[error("object cannot be unmarshalled at byte {0}")]
pub struct Unreadable(usize);

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Unreadable> {
        let end = self.at.checked_add(length).ok_or(Unreadable(self.at))?;
        let taken = self.bytes.get(self.at..end).ok_or(Unreadable(self.at))?;
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        let at = self.at;
        self.take(N)?.try_into().map_err(|_| Unreadable(at))
    }
}

impl Object {
    pub fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let mut reader = Reader { bytes, at: 0 };
        if reader.array::<1>()? != [1] {
            return Err(Unreadable(0));
        }
        let doc = u64::from_le_bytes(reader.array()?);
        reader.take(1)?;
        let id = Uuid::from_bytes(reader.array()?);
        let created = i64::from_le_bytes(reader.array()?);
        let updated = i64::from_le_bytes(reader.array()?);
        let dimensions = usize::from(u16::from_le_bytes(reader.array()?));
        let vector = reader
            .take(dimensions * 4)?
            .as_chunks::<4>()
            .0
            .iter()
            .map(|four| f32::from_le_bytes(*four))
            .collect();
        let length = usize::from(u16::from_le_bytes(reader.array()?));
        let at = reader.at;
        let class = String::from_utf8(reader.take(length)?.to_vec()).map_err(|_| Unreadable(at))?;
        let length = u32::from_le_bytes(reader.array()?) as usize;
        let at = reader.at;
        let properties = serde_json::from_slice(reader.take(length)?).map_err(|_| Unreadable(at))?;
        Ok(Self { id, doc, class, created, updated, properties, vector })
    }

    pub fn encode(&self) -> Vec<u8> {
        let properties = Value::Object(self.properties.clone()).to_string();
        let mut bytes = vec![1];
        bytes.extend(self.doc.to_le_bytes());
        bytes.push(1);
        bytes.extend(self.id.as_bytes());
        bytes.extend(self.created.to_le_bytes());
        bytes.extend(self.updated.to_le_bytes());
        bytes.extend(u16::try_from(self.vector.len()).unwrap_or(u16::MAX).to_le_bytes());
        bytes.extend(self.vector.iter().take(usize::from(u16::MAX)).flat_map(|value| value.to_le_bytes()));
        bytes.extend(u16::try_from(self.class.len()).unwrap_or(u16::MAX).to_le_bytes());
        bytes.extend(self.class.as_bytes());
        bytes.extend(length(&properties).to_le_bytes());
        bytes.extend(properties.as_bytes());
        for _ in ["additional", "vector weights"] {
            bytes.extend(length("null").to_le_bytes());
            bytes.extend(b"null");
        }
        bytes.extend([0; 16]);
        bytes
    }

    /// The form of the REST API.
    pub fn to_json(&self, with_vector: bool) -> Value {
        let mut value = json!({
            "class": self.class,
            "creationTimeUnix": self.created,
            "id": self.id.to_string(),
            "lastUpdateTimeUnix": self.updated,
            "properties": self.properties,
        });
        if with_vector && !self.vector.is_empty() {
            value["vector"] = self.vector.iter().copied().map(number).collect();
        }
        value
    }
}

fn length(text: &str) -> u32 {
    u32::try_from(text.len()).unwrap_or(u32::MAX)
}

/// The shortest decimal that reads back as the same f32, as Go prints it; whole numbers without ".0".
pub fn number(value: f32) -> Value {
    let text = value.to_string();
    text.parse::<i64>().map_or_else(|_| json!(text.parse::<f64>().unwrap_or(0.0)), Value::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_survives_its_binary_form() {
        let mut properties = Map::new();
        properties.insert("text".into(), json!("alpha 67"));
        let object = Object {
            id: Uuid::from_u128(7),
            doc: 66,
            class: "Chunk".into(),
            created: 1,
            updated: 2,
            properties,
            vector: vec![0.67, 0.0],
        };
        let bytes = object.encode();
        assert_eq!(Object::decode(&bytes).unwrap(), object);
        assert!(Object::decode(&bytes[..40]).is_err());
        assert_eq!(object.to_json(true)["vector"].to_string(), "[0.67,0]");
    }
}
