//! The calls that this program makes.

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Answer, Client};
use super::error::WeaviateError;
use super::types::{
    Alias, Backend, BackupOrder, BackupStatus, Class, Count, Meta, RestoreOrder, RestoreStatus, Tenant,
};

#[derive(Deserialize)]
struct Schema {
    classes: Vec<RawClass>,
}

#[derive(Deserialize)]
struct RawClass {
    class: String,
    #[serde(rename = "multiTenancyConfig", default)]
    multi_tenancy: MultiTenancy,
}

#[derive(Default, Deserialize)]
struct MultiTenancy {
    #[serde(default)]
    enabled: bool,
}

#[derive(Deserialize)]
struct Aliases {
    #[serde(default)]
    aliases: Option<Vec<Alias>>,
}

impl Client {
    pub async fn meta(&self) -> Result<Meta, WeaviateError> {
        self.expect(Method::GET, "/v1/meta", None).await
    }

    /// The status of `GET /v1/meta`, for a look at who may pass.
    pub async fn meta_status(&self) -> Result<u16, WeaviateError> {
        Ok(self.call(Method::GET, "/v1/meta", None).await?.status)
    }

    /// All collections.
    pub async fn classes(&self) -> Result<Vec<Class>, WeaviateError> {
        let schema: Schema = self.expect(Method::GET, "/v1/schema", None).await?;
        Ok(schema
            .classes
            .into_iter()
            .map(|c| Class { name: c.class, multi_tenant: c.multi_tenancy.enabled })
            .collect())
    }

    pub async fn tenants(&self, class: &str) -> Result<Vec<Tenant>, WeaviateError> {
        self.expect(Method::GET, &format!("/v1/schema/{class}/tenants"), None).await
    }

    /// Changes the status of tenants that are there (recording 27).
    pub async fn set_tenants(&self, class: &str, tenants: &[Tenant]) -> Result<(), WeaviateError> {
        let path = format!("/v1/schema/{class}/tenants");
        // The server takes no more in one request (weaviate#5390).
        for some in tenants.chunks(100) {
            let _: Value = self.expect(Method::PUT, &path, Some(&json!(some))).await?;
        }
        Ok(())
    }

    /// All aliases, sorted. A server from before aliases (1.32) has none.
    pub async fn aliases(&self) -> Result<Vec<Alias>, WeaviateError> {
        let answer: Result<Aliases, _> = self.expect(Method::GET, "/v1/aliases", None).await;
        let mut aliases = match answer {
            Ok(answer) => answer.aliases.unwrap_or_default(),
            Err(WeaviateError::Refused { status: 404, .. }) => Vec::new(),
            Err(error) => return Err(error),
        };
        aliases.sort();
        Ok(aliases)
    }

    /// The exact count of a collection, or of one of its tenants, by GraphQL `Aggregate`. The status does not
    /// tell: an inactive tenant gives 200 with `errors` (recording 27), an empty server 422 (16).
    pub async fn count(&self, class: &str, tenant: Option<&str>) -> Result<Count, WeaviateError> {
        // A JSON text is a GraphQL text: both escape quotes and backslashes alike.
        let of = tenant.map(|t| format!("(tenant:{})", Value::from(t))).unwrap_or_default();
        let answer =
            self.graphql(&format!("{{ Aggregate {{ {class}{of} {{ meta {{ count }} }} }} }}")).await?;
        if let Some(count) = answer.body["data"]["Aggregate"][class][0]["meta"]["count"].as_u64() {
            return Ok(Count::Objects(count));
        }
        let call = "POST /v1/graphql".to_owned();
        if let Some(words) = answer.body["errors"][0]["message"].as_str() {
            if words.contains("tenant not active") {
                return Ok(Count::Uncounted(words.to_owned()));
            }
            let of = tenant.map_or_else(|| class.to_owned(), |tenant| format!("{class}, tenant {tenant}"));
            return Err(WeaviateError::Uncounted { of, message: words.to_owned() });
        }
        if (200..300).contains(&answer.status) && answer.body["error"].is_null() {
            return Err(WeaviateError::Malformed { call, what: "it has no count".to_owned() });
        }
        Err(WeaviateError::Refused { call, status: answer.status, message: answer.message() })
    }

    /// Objects with their vectors, in the order of their ids, from the one after `after` on (recording 27).
    pub async fn objects(
        &self,
        class: &str,
        tenant: Option<&str>,
        after: &str,
        most: usize,
    ) -> Result<Vec<Value>, WeaviateError> {
        let of = tenant.map(|tenant| format!("&tenant={}", encoded(tenant))).unwrap_or_default();
        let path = format!("/v1/objects?class={class}&limit={most}&after={after}&include=vector{of}");
        let mut answer: Value = self.expect(Method::GET, &path, None).await?;
        Ok(match answer["objects"].take() {
            Value::Array(objects) => objects,
            _ => Vec::new(),
        })
    }

    /// One object with its vectors; `None` where there is none.
    pub async fn object(
        &self,
        class: &str,
        tenant: Option<&str>,
        id: &str,
    ) -> Result<Option<Value>, WeaviateError> {
        let of = tenant.map(|tenant| format!("&tenant={}", encoded(tenant))).unwrap_or_default();
        let path = format!("/v1/objects/{class}/{id}?include=vector{of}");
        let answer = self.call(Method::GET, &path, None).await?;
        match answer.status {
            200 => Ok(Some(answer.body)),
            404 => Ok(None),
            status => {
                let (call, message) = (format!("GET {path}"), answer.message());
                Err(WeaviateError::Refused { call, status, message })
            }
        }
    }

    /// Sends a GraphQL query; the answer may hold `errors` beside the data.
    pub async fn graphql(&self, query: &str) -> Result<Answer, WeaviateError> {
        self.call(Method::POST, "/v1/graphql", Some(&json!({ "query": query }))).await
    }

    /// Starts a restore.
    pub async fn start_restore(
        &self,
        backend: Backend,
        id: &str,
        order: &RestoreOrder,
    ) -> Result<RestoreStatus, WeaviateError> {
        let body = json!(order);
        self.expect(Method::POST, &format!("/v1/backups/{backend}/{id}/restore"), Some(&body)).await
    }

    /// How a restore goes. Without an accepted `POST` of this server's own life the answer is about another
    /// machine (recordings 08, 09). A backup in another path needs the same path here (recording 10).
    pub async fn restore_status(
        &self,
        backend: Backend,
        id: &str,
        path: Option<&str>,
    ) -> Result<RestoreStatus, WeaviateError> {
        let query = path.map(|p| format!("?path={p}")).unwrap_or_default();
        self.expect(Method::GET, &format!("/v1/backups/{backend}/{id}/restore{query}"), None).await
    }

    /// Starts a backup; the answer says which collections are in it.
    pub async fn start_backup(
        &self,
        backend: Backend,
        order: &BackupOrder,
    ) -> Result<BackupStatus, WeaviateError> {
        let body = serde_json::to_value(order).map_err(|error| WeaviateError::Malformed {
            call: "the order".to_owned(),
            what: error.to_string(),
        })?;
        self.expect(Method::POST, &format!("/v1/backups/{backend}"), Some(&body)).await
    }

    /// How a backup goes. It stays STARTED to its end (Weaviate 1.39.0, usecases/backup/coordinator.go).
    pub async fn backup_status(&self, backend: Backend, id: &str) -> Result<BackupStatus, WeaviateError> {
        self.expect(Method::GET, &format!("/v1/backups/{backend}/{id}"), None).await
    }

    /// Ends a backup that is at work: 204. Its id can never be used again (recording 06).
    pub async fn cancel_backup(&self, backend: Backend, id: &str) -> Result<(), WeaviateError> {
        self.delete(format!("/v1/backups/{backend}/{id}")).await
    }

    /// Ends a restore that is at work: 204, also where nothing is. One that applies its collections goes on: 422. Of
    /// 1.36.0 and later.
    pub async fn cancel_restore(&self, backend: Backend, id: &str) -> Result<(), WeaviateError> {
        self.delete(format!("/v1/backups/{backend}/{id}/restore")).await
    }

    /// Removes a collection and all that it holds.
    pub async fn delete_class(&self, class: &str) -> Result<(), WeaviateError> {
        self.delete(format!("/v1/schema/{class}")).await
    }

    /// Makes an alias that is there name this collection.
    pub async fn set_alias(&self, alias: &str, class: &str) -> Result<(), WeaviateError> {
        let body = json!({ "class": class });
        let _: Value = self.expect(Method::PUT, &format!("/v1/aliases/{alias}"), Some(&body)).await?;
        Ok(())
    }

    async fn delete(&self, path: String) -> Result<(), WeaviateError> {
        let answer = self.call(Method::DELETE, &path, None).await?;
        if (200..300).contains(&answer.status) {
            return Ok(());
        }
        let (status, message) = (answer.status, answer.message());
        Err(WeaviateError::Refused { call: format!("DELETE {path}"), status, message })
    }

    /// A write that changes nothing even where it is allowed, because the name is no name for a collection:
    /// 403 when the key may not write (recordings 01, 13), 401 when the key is unknown, 422 when it may.
    pub async fn harmless_write(&self) -> Result<u16, WeaviateError> {
        let body = json!({ "class": "not a name", "vectorizer": "none" });
        Ok(self.call(Method::POST, "/v1/schema", Some(&body)).await?.status)
    }
}

/// For a query: names of tenants have letters, digits, `_` and `-` only (usecases/sharding, `regexTenantName`); whatever
/// else a server may allow must not end the parameter.
fn encoded(name: &str) -> String {
    name.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'.' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}
