//! `packaging/iam-instance.json` allows the agent's calls, each with a neighbour that it does not allow.

use std::collections::BTreeMap;

use super::{Context, Decision, Resource};
use crate::endpoint::testing::shipped_policy;

const ENI: &str = "arn:aws:ec2:eu-central-1:123456789012:network-interface/eni-1";
const INSTANCE: &str = "arn:aws:ec2:eu-central-1:123456789012:instance/i-1";
const GROUP: &str = "arn:aws:autoscaling:eu-central-1:123456789012:autoScalingGroup:1:autoScalingGroupName";
const SECRET: &str = "arn:aws:secretsmanager:eu-central-1:123456789012:secret";
const PARAMETER: &str = "arn:aws:ssm:eu-central-1:123456789012:parameter";
const KEY: &str = "arn:aws:kms:eu-central-1:123456789012:key/1";
const ROLE: &str = "arn:aws:iam::123456789012:role/backup";
const BUCKET: &str = "arn:aws:s3:::acme-weaviate";

type Pairs = &'static [(&'static str, &'static str)];

fn allowed(action: &str, arn: &str, tags: &[(&str, &str)], context: &[(&str, &str)]) -> bool {
    let tags: BTreeMap<String, String> =
        tags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let mut asked: Context = context.iter().map(|(k, v)| ((*k).to_owned(), vec![(*v).to_owned()])).collect();
    asked.entry("aws:RequestedRegion".to_owned()).or_insert_with(|| vec!["eu-central-1".to_owned()]);
    shipped_policy().decide(action, &[Resource::new(arn).tagged(&tags)], &asked) == Decision::Allowed
}

#[test]
fn each_allowance_ends_where_it_should() {
    let ours: Pairs = &[("weaviate:deployment", "acme-prod"), ("weaviate:node", "weaviate-0")];
    let other_node: &[(&str, &str)] =
        &[("weaviate:deployment", "acme-prod"), ("weaviate:node", "weaviate-1")];
    let initialized: Pairs = &[("aws:TagKeys", "weaviate:initialized")];
    let bucket = |key: &str| format!("{BUCKET}/{key}");
    let manifest = bucket("prod/latest_weaviate_backup.manifest.json");
    let temporary = bucket("prod/latest_weaviate_backup.manifest.json.tmp");
    let rows: Vec<(&str, String, Pairs, Pairs, bool)> = vec![
        ("ec2:DescribeInstances", "*".into(), &[], &[], true),
        ("ec2:DescribeInstances", "*".into(), &[], &[("aws:RequestedRegion", "us-east-1")], false),
        ("ec2:DescribeImages", "*".into(), &[], &[], false),
        ("ec2:AttachNetworkInterface", ENI.into(), ours, &[], true),
        ("ec2:AttachNetworkInterface", ENI.into(), other_node, &[], false),
        ("ec2:DetachNetworkInterface", INSTANCE.into(), ours, &[], true),
        ("ec2:DetachNetworkInterface", INSTANCE.into(), &[], &[], false),
        ("ec2:ModifyNetworkInterfaceAttribute", ENI.into(), ours, &[], true),
        ("ec2:CreateTags", ENI.into(), ours, initialized, true),
        ("ec2:CreateTags", ENI.into(), ours, &[("aws:TagKeys", "weaviate:node")], false),
        ("ec2:CreateTags", ENI.into(), ours, &[], false),
        ("ec2:CreateTags", INSTANCE.into(), ours, initialized, false),
        ("autoscaling:CompleteLifecycleAction", format!("{GROUP}/weaviate-0"), &[], &[], true),
        ("autoscaling:CompleteLifecycleAction", format!("{GROUP}/others"), &[], &[], false),
        ("secretsmanager:GetSecretValue", format!("{SECRET}:weaviate/admin-key-abcdef"), &[], &[], true),
        ("secretsmanager:GetSecretValue", format!("{SECRET}:others-abcdef"), &[], &[], false),
        ("ssm:GetParameter", format!("{PARAMETER}/weaviate/reader-key"), &[], &[], true),
        ("ssm:GetParameter", format!("{PARAMETER}/others"), &[], &[], false),
        ("kms:Decrypt", KEY.into(), &[], &[("kms:ViaService", "s3.eu-central-1.amazonaws.com")], true),
        ("kms:Decrypt", KEY.into(), &[], &[], false),
        ("sts:AssumeRole", ROLE.into(), &[("weaviate:deployment", "acme-prod")], &[], true),
        ("sts:AssumeRole", ROLE.into(), &[], &[], false),
        ("s3:ListBucket", BUCKET.into(), &[], &[("s3:prefix", "prod/")], true),
        ("s3:ListBucket", BUCKET.into(), &[], &[("s3:prefix", "stage/")], false),
        ("s3:ListBucket", BUCKET.into(), &[], &[], false),
        ("s3:GetObject", bucket("prod/x/backup_config.json"), &[], &[], true),
        ("s3:GetObject", bucket("stage/x"), &[], &[], false),
        ("s3:PutObject", manifest, &[], &[], true),
        ("s3:PutObject", temporary, &[], &[], true),
        ("s3:PutObject", bucket("prod/reports/i-1.json"), &[], &[], true),
        ("s3:PutObject", bucket("prod/manifests/x.json"), &[], &[], false),
        ("s3:DeleteObject", bucket("prod/reports/i-1.json"), &[], &[], false),
    ];
    for (action, arn, tags, context, expected) in rows {
        assert_eq!(allowed(action, &arn, tags, context), expected, "{action} on {arn} {tags:?} {context:?}");
    }
}
