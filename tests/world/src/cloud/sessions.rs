//! Credentials: who has which keys, until when; and whether their policy lets them do something.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::Cloud;
use super::spec::OperatorSpec;
use crate::iam::{Context, Credential, Decision, Lookup, Policy, Principal, Resource};
use crate::judge::Rule;

/// All keys that the world ever gave out; expired ones are kept, because AWS tells them from unknown ones.
#[derive(Default)]
pub(super) struct Sessions {
    by_key: BTreeMap<String, Credential>,
}

impl Sessions {
    pub(super) fn new(operators: &[OperatorSpec]) -> Self {
        let by_key = operators.iter().map(|o| {
            let credential = Credential {
                access_key: o.access_key.clone(),
                secret: o.secret.clone(),
                session_token: None,
                expires: None,
                principal: Principal::Operator,
            };
            (o.access_key.clone(), credential)
        });
        Self { by_key: by_key.collect() }
    }

    fn vend(&mut self, principal: Principal, lifetime: Duration) -> Credential {
        let credential = Credential {
            access_key: format!("ASIA{}", random(16, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")),
            secret: random(40, ALPHABET),
            session_token: Some(random(120, ALPHABET)),
            expires: Some(
                Timestamp::now() + SignedDuration::try_from(lifetime).unwrap_or(SignedDuration::MAX),
            ),
            principal,
        };
        self.by_key.insert(credential.access_key.clone(), credential.clone());
        credential
    }
}

/// The condition key of the region that a call goes to.
pub(crate) const REGION_KEY: &str = "aws:RequestedRegion";

const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

fn random(length: usize, alphabet: &[u8]) -> String {
    (0..length).map(|_| char::from(alphabet[rand::random_range(0..alphabet.len())])).collect()
}

impl Cloud {
    /// What belongs to an access key, expired or not.
    pub fn credentials(&self, access_key: &str) -> Option<Credential> {
        self.state().sessions.by_key.get(access_key).cloned()
    }

    /// [`Self::credentials`] as a value, for the S3 double.
    pub fn lookup(&self) -> Lookup {
        let cloud = self.clone();
        std::sync::Arc::new(move |access_key| cloud.credentials(access_key))
    }

    /// The credentials of an instance's role: the ones it has, or new ones shortly before they end.
    pub(crate) fn role_credentials(&self, instance: &str, role: &str) -> Credential {
        let spec = self.spec().credentials.clone();
        let margin = SignedDuration::try_from(spec.rotate_before).unwrap_or(SignedDuration::MAX);
        let principal = Principal::Instance { instance: instance.to_owned(), role: role.to_owned() };
        let mut state = self.state();
        let current = state.sessions.by_key.values().filter(|c| c.principal == principal);
        let current =
            current.max_by_key(|c| c.expires).filter(|c| c.expires > Some(Timestamp::now() + margin));
        match current.cloned() {
            Some(current) => current,
            None => state.sessions.vend(principal, spec.lifetime),
        }
    }

    pub(crate) fn assume(&self, role: &str, session: &str, lifetime: Duration) -> Credential {
        let principal = Principal::Role { role: role.to_owned(), session: session.to_owned() };
        self.state().sessions.vend(principal, lifetime)
    }

    /// Every text that must not be found outside: values of secrets and parameters, old ones too, and
    /// all keys and tokens that were ever vended. For the judge.
    pub fn confidential(&self) -> Vec<String> {
        let state = self.state();
        let vended = state.sessions.by_key.values();
        let vended = vended.flat_map(|c| std::iter::once(c.secret.clone()).chain(c.session_token.clone()));
        vended.chain(state.secrets.values()).collect()
    }

    /// Ends all credentials of an instance at once, as after a revocation; the next request vends new ones.
    pub fn expire_credentials(&self, instance: &str) {
        for credential in self.state().sessions.by_key.values_mut() {
            if credential.principal.instance() == Some(instance) {
                credential.expires = Some(Timestamp::UNIX_EPOCH);
            }
        }
    }

    /// Whether the caller's policy allows the call. A refusal is told to the judge: the agent must only do
    /// what `packaging/iam-instance.json` says. A scripted denial does not come here.
    pub fn permits(
        &self,
        who: &Principal,
        action: &str,
        resources: &[Resource],
        context: &Context,
    ) -> Decision {
        let mut context = context.clone();
        // The region that a call was signed for, where its caller knows one.
        context.entry(REGION_KEY.to_owned()).or_insert_with(|| vec![self.spec().region.clone()]);
        let decision = match who {
            Principal::Operator => Policy::everything().decide(action, resources, &context),
            Principal::Instance { .. } => self.0.policy.decide(action, resources, &context),
            Principal::Role { role, .. } => match self.0.roles.get(role) {
                Some(policy) => policy.decide(action, resources, &context),
                None => Decision::NotAllowed { resource: "*".to_owned() },
            },
        };
        if let Decision::NotAllowed { resource } | Decision::Denied { resource } = &decision {
            let who = who.arn(&self.spec().account);
            self.forbid(Rule::Policy, format!("{who} may not {action} on {resource}"));
        }
        decision
    }
}
