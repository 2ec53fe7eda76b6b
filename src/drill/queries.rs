//! `drill.queries`: what a user would notice, asked of what was restored.

use super::error::DrillError;
use super::settings::Query;
use crate::weaviate::Client;

/// Asks them all; how many there were. The answer of each must hold its texts.
pub async fn ask(client: &Client, queries: &[Query]) -> Result<u64, DrillError> {
    for Query { graphql, holds } in queries {
        let answer = client.graphql(graphql).await?;
        let text = answer.body.to_string();
        if let Some(missing) = missing(&text, holds) {
            let shown: String = text.chars().take(SHOWN).collect();
            let query = graphql.clone();
            return Err(DrillError::Answer { query, missing: missing.to_owned(), answer: shown });
        }
    }
    Ok(queries.len() as u64)
}

/// Letters of an answer, in the details.
const SHOWN: usize = 1000;

fn missing<'a>(answer: &str, holds: &'a [String]) -> Option<&'a str> {
    holds.iter().map(String::as_str).find(|text| !answer.contains(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_text_that_is_missing_is_named() {
        let holds = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let answer = r#"{"data":{"Aggregate":{"Article":[{"meta":{"count":3000}}]}}}"#;
        assert_eq!(missing(answer, &holds(&["\"count\":3000", "Article"])), None);
        assert_eq!(missing(answer, &holds(&["Article", "3001", "x"])), Some("3001"));
        assert_eq!(missing(answer, &[]), None);
    }
}
