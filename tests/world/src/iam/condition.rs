//! The condition operators: `ForAnyValue:StringLike`, `StringEqualsIfExists`, `Null` and their kin.

/// How the values of the call are compared with those of the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    StringEquals,
    StringNotEquals,
    StringLike,
    StringNotLike,
    ArnLike,
    Bool,
    Null,
}

/// How a key with several values is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quantifier {
    One,
    Any,
    All,
}

/// One operator with its modifiers, as it is named in a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Test {
    operator: Operator,
    quantifier: Quantifier,
    if_exists: bool,
}

impl Test {
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (quantifier, name) = if let Some(rest) = name.strip_prefix("ForAnyValue:") {
            (Quantifier::Any, rest)
        } else if let Some(rest) = name.strip_prefix("ForAllValues:") {
            (Quantifier::All, rest)
        } else {
            (Quantifier::One, name)
        };
        let (if_exists, name) = name.strip_suffix("IfExists").map_or((false, name), |rest| (true, rest));
        let operator = match name {
            "StringEquals" => Operator::StringEquals,
            "StringNotEquals" => Operator::StringNotEquals,
            "StringLike" => Operator::StringLike,
            "StringNotLike" => Operator::StringNotLike,
            "ArnLike" | "ArnEquals" => Operator::ArnLike,
            "Bool" => Operator::Bool,
            "Null" => Operator::Null,
            _ => return None,
        };
        Some(Self { operator, quantifier, if_exists })
    }

    /// `present` is what the call says for the key; empty means that it does not know the key.
    pub(super) fn holds(self, present: &[String], wanted: &[String]) -> bool {
        if self.operator == Operator::Null {
            return wanted.iter().any(|wanted| (wanted == "true") == present.is_empty());
        }
        let negative = matches!(self.operator, Operator::StringNotEquals | Operator::StringNotLike);
        if present.is_empty() {
            return self.if_exists || negative || self.quantifier == Quantifier::All;
        }
        let one = |value: &String| {
            let found = wanted.iter().any(|wanted| self.equal(value, wanted));
            found != negative
        };
        match self.quantifier {
            Quantifier::Any => present.iter().any(one),
            Quantifier::One | Quantifier::All => present.iter().all(one),
        }
    }

    fn equal(self, value: &str, wanted: &str) -> bool {
        match self.operator {
            Operator::StringEquals | Operator::StringNotEquals => value == wanted,
            Operator::StringLike | Operator::StringNotLike | Operator::ArnLike => like(value, wanted),
            Operator::Bool => value.eq_ignore_ascii_case(wanted),
            Operator::Null => false,
        }
    }
}

/// Glob matching with `*` and `?`, as policies, filters and ARNs use it.
pub fn like(text: &str, pattern: &str) -> bool {
    let (text, pattern): (Vec<char>, Vec<char>) = (text.chars().collect(), pattern.chars().collect());
    let (mut t, mut p) = (0, 0);
    let mut last_star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&'*') {
            last_star = Some((p, t));
            p += 1;
        } else if pattern.get(p).is_some_and(|c| *c == '?' || *c == text[t]) {
            p += 1;
            t += 1;
        } else if let Some((star, taken)) = last_star {
            last_star = Some((star, taken + 1));
            p = star + 1;
            t = taken + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        let rows = [
            ("abc", "abc", true),
            ("abc", "a*", true),
            ("abc", "*c", true),
            ("abc", "a?c", true),
            ("abc", "a?", false),
            ("", "*", true),
            ("", "?", false),
            ("aXbXc", "a*b*c", true),
            ("ec2:DescribeInstances", "ec2:Describe*", true),
            ("ec2:AttachNetworkInterface", "ec2:Describe*", false),
        ];
        for (text, pattern, expected) in rows {
            assert_eq!(like(text, pattern), expected, "{text} ~ {pattern}");
        }
    }

    #[test]
    fn operators() {
        let rows: &[(&str, &[&str], &[&str], bool)] = &[
            ("StringEquals", &["a"], &["a", "b"], true),
            ("StringEquals", &["c"], &["a", "b"], false),
            ("StringEquals", &[], &["a"], false),
            ("StringEqualsIfExists", &[], &["a"], true),
            ("StringNotEquals", &["a"], &["a"], false),
            ("StringNotEquals", &["b"], &["a"], true),
            ("StringNotLike", &["ab"], &["a*"], false),
            ("StringLike", &["prod/x"], &["prod/*"], true),
            ("StringLike", &["stage/x"], &["prod/*"], false),
            ("ArnLike", &["arn:aws:s3:::b"], &["arn:aws:s3:::*"], true),
            ("Bool", &["true"], &["True"], true),
            ("Bool", &["false"], &["true"], false),
            ("Null", &[], &["true"], true),
            ("Null", &["x"], &["false"], true),
            ("Null", &[], &["false"], false),
            ("ForAllValues:StringEquals", &["a"], &["a", "b"], true),
            ("ForAllValues:StringEquals", &["a", "c"], &["a", "b"], false),
            ("ForAllValues:StringEquals", &[], &["a"], true),
            ("ForAnyValue:StringEquals", &["a", "c"], &["a"], true),
            ("ForAnyValue:StringEquals", &[], &["a"], false),
        ];
        let own = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        for (name, present, wanted, expected) in rows {
            let test = Test::parse(name).unwrap();
            assert_eq!(test.holds(&own(present), &own(wanted)), *expected, "{name} {present:?} {wanted:?}");
        }
        assert_eq!(Test::parse("NumericLessThan"), None);
    }
}
