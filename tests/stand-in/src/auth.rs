//! Who asks, and may they: API keys, anonymous access and the admin list.
//!
//! ```text
//! bearer ──► key known? ──no──► 401 JSON          user ──► admin ─────────────► allowed
//! none ────► anonymous? ──no──► 401 text/plain         └─► reader: verb R ─────► allowed
//!                                                      └─► anything else ──────► 403
//! ```
//!
//! OIDC is accepted and announced, its tokens are refused (see `behaviours`).

use crate::config_file::{ConfigFile, Oidc};
use crate::settings::{Environment, StartError};

#[derive(Clone, Default)]
pub struct Auth {
    anonymous: bool,
    api_keys: bool,
    keys: Vec<(String, String)>,
    pub oidc: Option<Oidc>,
    admin_list: Option<Lists>,
}

#[derive(Clone, Debug, Default)]
struct Lists {
    admins: Vec<String>,
    readers: Vec<String>,
}

/// Never prints a key.
impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let users: Vec<_> = self.keys.iter().map(|(_, user)| user).collect();
        f.debug_struct("Auth")
            .field("anonymous", &self.anonymous)
            .field("users", &users)
            .finish_non_exhaustive()
    }
}

/// Who a request is from, once that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User(pub Option<String>);

impl User {
    /// The name that the admin list is searched for.
    pub fn name(&self) -> &str {
        self.0.as_deref().unwrap_or("anonymous")
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum Denied {
    /// No credentials: `text/plain`, with the methods that are open.
    Anonymous(String),
    /// Wrong credentials: JSON.
    Unknown(&'static str),
}

/// CRUD as the real authorizer writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Create,
    Read,
    Update,
    Delete,
}

impl Verb {
    pub fn letter(self) -> char {
        match self {
            Self::Create => 'C',
            Self::Read => 'R',
            Self::Update => 'U',
            Self::Delete => 'D',
        }
    }
}

impl Auth {
    pub fn read(file: ConfigFile, env: &Environment) -> Result<Self, StartError> {
        let authentication = file.authentication;
        let mut api = authentication.apikey;
        if env.on("AUTHENTICATION_APIKEY_ENABLED") {
            api.enabled = true;
        }
        if let Some(keys) = env.list("AUTHENTICATION_APIKEY_ALLOWED_KEYS") {
            api.allowed_keys = keys;
        }
        if let Some(users) = env.list("AUTHENTICATION_APIKEY_USERS") {
            api.users = users;
        }
        let oidc = oidc(authentication.oidc, env);
        let asked_for =
            authentication.anonymous_access.enabled || env.on("AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED");
        let any_method = api.enabled || oidc.is_some();
        let lists = admin_list(file.authorization.admin_list, env)?;
        let rbac = file.authorization.rbac.enabled || env.on("AUTHORIZATION_RBAC_ENABLED");
        if rbac && (asked_for || !any_method) {
            return Err(StartError::Invalid("anonymous access and RBAC cannot both be enabled".into()));
        }
        if rbac && lists.is_some() {
            return Err(StartError::Invalid("admin list and RBAC cannot both be enabled".into()));
        }
        Ok(Self {
            // Without any method the server is open, whatever the variable says: recordings 14 and 24.
            anonymous: asked_for || !any_method,
            api_keys: api.enabled,
            keys: if api.enabled { pair(api.allowed_keys, &api.users)? } else { Vec::new() },
            oidc,
            admin_list: lists,
        })
    }

    pub fn authenticate(&self, bearer: Option<&str>) -> Result<User, Denied> {
        match bearer {
            None if self.anonymous => Ok(User(None)),
            None => Err(Denied::Anonymous(self.methods())),
            Some(_) if !self.api_keys && self.oidc.is_none() => Ok(User(None)),
            Some(key) => match self.keys.iter().find(|(known, _)| known == key) {
                Some((_, user)) => Ok(User(Some(user.clone()))),
                None if self.api_keys => Err(Denied::Unknown("unauthorized: invalid api key")),
                None => Err(Denied::Unknown("unauthorized: oidc: failed to verify token")),
            },
        }
    }

    pub fn may(&self, user: &User, verb: Verb) -> bool {
        let Some(lists) = &self.admin_list else { return true };
        let listed = |names: &[String]| names.iter().any(|name| name == user.name());
        listed(&lists.admins) || (verb == Verb::Read && listed(&lists.readers))
    }

    fn methods(&self) -> String {
        let methods = [(self.api_keys, "API-keys"), (self.oidc.is_some(), "OIDC")];
        let open: Vec<_> = methods.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
        format!(
            "anonymous access not enabled. Please authenticate through one of the available methods: [{}]",
            open.join(", ")
        )
    }
}

fn oidc(mut oidc: Oidc, env: &Environment) -> Option<Oidc> {
    oidc.enabled |= env.on("AUTHENTICATION_OIDC_ENABLED");
    for (name, field) in [
        ("AUTHENTICATION_OIDC_ISSUER", &mut oidc.issuer),
        ("AUTHENTICATION_OIDC_CLIENT_ID", &mut oidc.client_id),
    ] {
        if let Some(value) = env.get(name) {
            value.clone_into(field);
        }
    }
    if let Some(scopes) = env.list("AUTHENTICATION_OIDC_SCOPES") {
        oidc.scopes = scopes;
    }
    oidc.enabled.then_some(oidc)
}

fn admin_list(file: crate::config_file::AdminList, env: &Environment) -> Result<Option<Lists>, StartError> {
    let enabled = file.enabled || env.on("AUTHORIZATION_ADMINLIST_ENABLED");
    let lists = Lists {
        admins: env.list("AUTHORIZATION_ADMINLIST_USERS").unwrap_or(file.users),
        readers: env.list("AUTHORIZATION_ADMINLIST_READONLY_USERS").unwrap_or(file.read_only_users),
    };
    if let Some(both) = lists.admins.iter().find(|name| enabled && lists.readers.contains(name)) {
        let reason = format!("admin list: subject '{both}' is present on both admin and read-only list");
        return Err(StartError::Invalid(reason));
    }
    Ok(enabled.then_some(lists))
}

fn pair(keys: Vec<String>, users: &[String]) -> Result<Vec<(String, String)>, StartError> {
    if keys.is_empty() {
        return Err(StartError::ApiKey("need at least one valid allowed key"));
    }
    if keys.iter().any(String::is_empty) {
        return Err(StartError::ApiKey("keys cannot have length 0"));
    }
    if users.is_empty() {
        return Err(StartError::ApiKey("need at least one user"));
    }
    if users.len() != 1 && users.len() != keys.len() {
        let reason = "length of users and keys must match, alternatively provide single user for all keys";
        return Err(StartError::ApiKey(reason));
    }
    let user = |n: usize| users.get(n).or_else(|| users.first()).cloned().unwrap_or_default();
    Ok(keys.into_iter().enumerate().map(|(n, key)| (key, user(n))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auth(pairs: &[(&str, &str)]) -> Result<Auth, StartError> {
        Auth::read(ConfigFile::default(), &Environment::from_pairs(pairs.iter().copied()))
    }

    #[test]
    fn keys_on_without_keys_refuses_to_start() {
        let error = auth(&[("AUTHENTICATION_APIKEY_ENABLED", "true")]).unwrap_err();
        assert!(error.to_string().ends_with("need at least one valid allowed key"));
    }

    #[test]
    fn anonymous_off_alone_leaves_the_server_open() {
        let open = auth(&[("AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED", "false")]).unwrap();
        assert_eq!(open.authenticate(None), Ok(User(None)));
        let closed = auth(&[
            ("AUTHENTICATION_APIKEY_ENABLED", "true"),
            ("AUTHENTICATION_APIKEY_ALLOWED_KEYS", "k"),
            ("AUTHENTICATION_APIKEY_USERS", "u"),
        ])
        .unwrap();
        assert!(matches!(closed.authenticate(None), Err(Denied::Anonymous(_))));
        assert_eq!(closed.authenticate(Some("k")), Ok(User(Some("u".into()))));
        assert!(matches!(closed.authenticate(Some("x")), Err(Denied::Unknown(_))));
    }

    #[test]
    fn the_reader_reads_and_the_unlisted_do_nothing() {
        let auth = auth(&[
            ("AUTHORIZATION_ADMINLIST_ENABLED", "true"),
            ("AUTHORIZATION_ADMINLIST_USERS", "admin"),
            ("AUTHORIZATION_ADMINLIST_READONLY_USERS", "reader"),
        ])
        .unwrap();
        let rows = [
            ("admin", Verb::Create, true),
            ("reader", Verb::Read, true),
            ("reader", Verb::Update, false),
            ("other", Verb::Read, false),
        ];
        for (user, verb, allowed) in rows {
            assert_eq!(auth.may(&User(Some(user.into())), verb), allowed, "{user} {verb:?}");
        }
    }
}
