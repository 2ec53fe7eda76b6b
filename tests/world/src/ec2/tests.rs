//! The query protocol over the wire: states, refusals, filters, pages.

use std::time::Duration;

use tokio::time::sleep;

use crate::cloud::spec::{self, ENI, NEW, OLD};
use crate::cloud::{ActionKey, Cloud, Hotplug, Power};
use crate::endpoint::testing::{Client, cloud, element, forbidden};
use crate::ledger::Event;

const WITH_OLD: &str = r#"
    enis = [{ owner = "i-0aaaaaaaaaaaaaa01" }]
    instances = [{}, { id = "i-0aaaaaaaaaaaaaa01", address = "10.0.1.11", state = "OLD" }]"#;

fn with_old(state: &str) -> String {
    WITH_OLD.replace("OLD", state)
}

async fn attach(cloud: &Cloud) -> (u16, String) {
    let to = [("NetworkInterfaceId", ENI), ("InstanceId", NEW), ("DeviceIndex", "1")];
    Client::instance(cloud, NEW).ec2("AttachNetworkInterface", &to).await
}

async fn status(cloud: &Cloud) -> String {
    let (_, body) =
        Client::instance(cloud, NEW).ec2("DescribeNetworkInterfaces", &[("NetworkInterfaceId.1", ENI)]).await;
    element(&body, "status").to_owned()
}

#[tokio::test(start_paused = true)]
async fn an_attached_interface_goes_through_its_states_and_appears_late() {
    let cloud = cloud("", "");
    let mut plugs = cloud.hotplug();
    assert_eq!(status(&cloud).await, "available");
    let (code, body) = attach(&cloud).await;
    assert_eq!(code, 200, "{body}");
    assert_eq!(status(&cloud).await, "attaching");
    assert!(plugs.try_recv().is_err(), "the interface is not there yet");
    sleep(Duration::from_millis(600)).await;
    assert_eq!(status(&cloud).await, "in-use");
    let Some(Hotplug::Plug { mac, address, prefix, gateway, .. }) = plugs.recv().await else {
        panic!("no plug")
    };
    assert_eq!((mac.as_str(), address.as_str(), prefix), ("02:00:0a:00:02:0f", "10.0.2.15", 24));
    assert_eq!(gateway, "10.0.2.1");

    let attachment = cloud.eni(ENI).unwrap().attachment.unwrap();
    assert!(!attachment.delete_on_termination);
    let detach = [("AttachmentId", attachment.id.as_str())];
    let client = Client::instance(&cloud, NEW);
    assert_eq!(client.ec2("DetachNetworkInterface", &detach).await.0, 200);
    assert_eq!(status(&cloud).await, "detaching");
    assert_eq!(plugs.recv().await, Some(Hotplug::Unplug { eni: ENI.into(), instance: NEW.into() }));
    assert_eq!(status(&cloud).await, "available");
    let (code, body) = client.ec2("DetachNetworkInterface", &detach).await;
    assert_eq!((code, element(&body, "Code")), (400, "InvalidAttachmentID.NotFound"));
    assert!(forbidden(&cloud).is_empty(), "the owner itself may detach");
}

#[tokio::test(start_paused = true)]
async fn each_refusal_of_attach_has_its_code() {
    let other_zone = r#"subnets = [{ id = "subnet-0aaaaaaaaaaaaaa01", cidr = "10.0.1.0/24" },
        { id = "subnet-0aaaaaaaaaaaaaa02", cidr = "10.0.2.0/24", zone = "eu-central-1b" }]"#;
    let index_busy = r#"enis = [{}, { id = "eni-0aaaaaaaaaaaaaa16", address = "10.0.2.16", owner = "i-0aaaaaaaaaaaaaa02" }]"#;
    let too_many = index_busy.replace("enis", "instances = [{ type = \"c8gd.medium\" }]\nenis");
    let in_use_otherwise = format!("in_use_code = \"InvalidParameterValue\"\n{}", with_old("stopped"));
    let rows = [
        (String::new(), "1", 200, ""),
        (with_old("stopped"), "1", 400, "InvalidNetworkInterface.InUse"),
        (in_use_otherwise, "1", 400, "InvalidParameterValue"),
        (other_zone.to_owned(), "1", 400, "InvalidParameterCombination"),
        (index_busy.to_owned(), "1", 400, "InvalidParameterValue"),
        (index_busy.to_owned(), "2", 200, ""),
        (too_many, "2", 400, "AttachmentLimitExceeded"),
        ("instances = [{ state = \"stopping\" }]".to_owned(), "1", 400, "IncorrectState"),
        ("instances = [{ state = \"stopped\" }]".to_owned(), "1", 200, ""),
        ("enis = [{ requester_managed = true }]".to_owned(), "1", 400, "OperationNotPermitted"),
        ("enis = []".to_owned(), "1", 400, "InvalidNetworkInterfaceID.NotFound"),
        ("instances = []".to_owned(), "1", 400, "InvalidInstanceID.NotFound"),
        ("enis = [{ tags = {} }]".to_owned(), "1", 403, "UnauthorizedOperation"),
    ];
    for (text, index, status, code) in rows {
        let cloud = cloud(&text, "");
        let to = [("NetworkInterfaceId", ENI), ("InstanceId", NEW), ("DeviceIndex", index)];
        let (got, body) = Client::instance(&cloud, NEW).ec2("AttachNetworkInterface", &to).await;
        assert_eq!((got, element(&body, "Code")), (status, code), "{text}: {body}");
        let denied = if code == "UnauthorizedOperation" { vec!["iam".to_owned()] } else { Vec::new() };
        assert_eq!(forbidden(&cloud), denied, "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn malformed_ids_missing_parameters_and_dry_runs() {
    let cloud = cloud("", "");
    let client = Client::instance(&cloud, NEW);
    let rows = [
        (
            "AttachNetworkInterface",
            vec![("NetworkInterfaceId", "eni-x"), ("InstanceId", NEW), ("DeviceIndex", "1")],
            400,
            "InvalidNetworkInterfaceId.Malformed",
        ),
        (
            "AttachNetworkInterface",
            vec![("NetworkInterfaceId", ENI), ("InstanceId", "i-zz"), ("DeviceIndex", "1")],
            400,
            "InvalidInstanceID.Malformed",
        ),
        (
            "AttachNetworkInterface",
            vec![("NetworkInterfaceId", ENI), ("InstanceId", NEW)],
            400,
            "MissingParameter",
        ),
        (
            "AttachNetworkInterface",
            vec![("NetworkInterfaceId", ENI), ("InstanceId", NEW), ("DeviceIndex", "1"), ("DryRun", "true")],
            412,
            "DryRunOperation",
        ),
        (
            "DescribeInstances",
            vec![("InstanceId.1", "i-0aaaaaaaaaaaaaaff")],
            400,
            "InvalidInstanceID.NotFound",
        ),
        ("DescribeInstances", vec![("DryRun", "true")], 412, "DryRunOperation"),
        (
            "DescribeNetworkInterfaces",
            vec![("NetworkInterfaceId.1", ENI), ("MaxResults", "5")],
            400,
            "InvalidParameterCombination",
        ),
        ("DescribeNetworkInterfaces", vec![("MaxResults", "4")], 400, "InvalidParameterValue"),
        (
            "DescribeNetworkInterfaces",
            vec![("Filter.1.Name", "color"), ("Filter.1.Value.1", "x")],
            400,
            "InvalidParameterValue",
        ),
        (
            "DetachNetworkInterface",
            vec![("AttachmentId", "eni-attach-1")],
            400,
            "InvalidNetworkInterfaceAttachmentId.Malformed",
        ),
        ("TerminateInstances", vec![("InstanceId.1", NEW)], 400, "InvalidAction"),
        ("DescribeInstanceTypes", vec![("InstanceType.1", "m1.tiny")], 400, "InvalidInstanceType"),
    ];
    for (action, parameters, status, code) in rows {
        let (got, body) = client.ec2(action, &parameters).await;
        assert_eq!((got, element(&body, "Code")), (status, code), "{action} {parameters:?}");
    }
    assert_eq!(status(&cloud).await, "available", "nothing of all that did anything");
}

#[tokio::test(start_paused = true)]
async fn filters_choose_and_pages_follow_each_other() {
    let more: Vec<String> = (20..27)
        .map(|n| format!("{{ id = \"eni-0aaaaaaaaaaaaaa{n}\", address = \"10.0.2.{n}\", tags = {{}} }}"))
        .collect();
    let cloud = cloud(&format!("enis = [{{}}, {}]", more.join(",")), "");
    let client = Client::instance(&cloud, NEW);
    let rows = [
        ("tag:weaviate:node", "weaviate-0", 1),
        ("tag:weaviate:node", "weaviate-*", 1),
        ("tag:weaviate:node", "other", 0),
        ("private-ip-address", "10.0.2.15", 1),
        ("addresses.private-ip-address", "10.0.2.2?", 7),
        ("attachment.instance-id", NEW, 1),
        ("attachment.device-index", "0", 1),
        ("attachment.status", "attached", 1),
        ("status", "available", 8),
        ("subnet-id", "subnet-0aaaaaaaaaaaaaa02", 8),
        ("mac-address", "02:00:0a:00:02:0f", 1),
    ];
    let count = |body: &str| body.matches("<networkInterfaceId>").count();
    for (name, value, expected) in rows {
        let filter = [("Filter.1.Name", name), ("Filter.1.Value.1", value)];
        let (_, body) = client.ec2("DescribeNetworkInterfaces", &filter).await;
        assert_eq!(count(&body), expected, "{name} = {value}");
    }
    let (_, first) = client.ec2("DescribeNetworkInterfaces", &[("MaxResults", "5")]).await;
    let token = element(&first, "nextToken").to_owned();
    let (_, second) =
        client.ec2("DescribeNetworkInterfaces", &[("MaxResults", "5"), ("NextToken", &token)]).await;
    assert_eq!((count(&first), count(&second)), (5, 4));
    assert_eq!(element(&second, "nextToken"), "");
}

#[tokio::test(start_paused = true)]
async fn a_living_owner_is_protected_by_ec2_and_by_the_judge() {
    for (state, rules) in [
        ("running", vec!["attach-living-owner", "detach-living-owner"]),
        ("shutting-down", vec!["attach-living-owner", "detach-living-owner"]),
        ("stopping", vec!["attach-living-owner", "detach-living-owner"]),
        ("stopped", vec![]),
    ] {
        let cloud = cloud(&with_old(state), "");
        let (code, body) = attach(&cloud).await;
        assert_eq!((code, element(&body, "Code")), (400, "InvalidNetworkInterface.InUse"));
        let attachment = cloud.eni(ENI).unwrap().attachment.unwrap().id;
        let detach = [("AttachmentId", attachment.as_str()), ("Force", "true")];
        assert_eq!(Client::instance(&cloud, NEW).ec2("DetachNetworkInterface", &detach).await.0, 200);
        assert_eq!(forbidden(&cloud), rules, "{state}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_of_an_instance_frees_its_interface_or_deletes_it() {
    for (delete, expected) in [("false", Some("available")), ("true", None)] {
        let text =
            with_old("running").replace("{ owner", &format!("{{ delete_on_termination = {delete}, owner"));
        let cloud = cloud(&text, "");
        assert!(cloud.terminate(OLD));
        sleep(Duration::from_secs(2)).await;
        assert_eq!(cloud.eni(ENI).unwrap().status(), "in-use", "held while shutting down");
        sleep(Duration::from_secs(2)).await;
        assert_eq!(cloud.eni(ENI).map(|e| e.status()), expected);
        assert_eq!(cloud.instance_state(OLD).unwrap().text(), "terminated");
    }
}

#[tokio::test(start_paused = true)]
async fn delete_on_termination_and_tags_are_changed_as_the_policy_allows() {
    let cloud = cloud("enis = [{ owner = \"i-0aaaaaaaaaaaaaa02\", delete_on_termination = true }]", "");
    let client = Client::instance(&cloud, NEW);
    let attachment = cloud.eni(ENI).unwrap().attachment.unwrap().id;
    let modify = [
        ("NetworkInterfaceId", ENI),
        ("Attachment.AttachmentId", attachment.as_str()),
        ("Attachment.DeleteOnTermination", "false"),
    ];
    assert_eq!(client.ec2("ModifyNetworkInterfaceAttribute", &modify).await.0, 200);
    assert!(!cloud.eni(ENI).unwrap().attachment.unwrap().delete_on_termination);

    let tag = |key| [("ResourceId.1", ENI), ("Tag.1.Key", key), ("Tag.1.Value", "yes")];
    assert_eq!(client.ec2("CreateTags", &tag("weaviate:initialized")).await.0, 200);
    assert_eq!(cloud.eni(ENI).unwrap().tags["weaviate:initialized"], "yes");
    assert!(forbidden(&cloud).is_empty());
    assert_eq!(client.ec2("CreateTags", &tag("weaviate:deployment")).await.0, 403);
    assert_eq!(forbidden(&cloud), ["iam"]);
}

#[tokio::test(start_paused = true)]
async fn stale_reads_see_the_moment_before_and_absent_ones_nothing() {
    let faults = r#"
        [[fault]]
        call = "ec2:DescribeNetworkInterfaces"
        times = 1
        effect = { kind = "stale" }
        [[fault]]
        call = "ec2:DescribeNetworkInterfaces"
        from = 2
        times = 1
        effect = { kind = "absent" }"#;
    let cloud = cloud("", faults);
    attach(&cloud).await;
    assert_eq!(status(&cloud).await, "available");
    let (code, body) = Client::instance(&cloud, NEW)
        .ec2("DescribeNetworkInterfaces", &[("NetworkInterfaceId.1", ENI)])
        .await;
    assert_eq!((code, element(&body, "Code")), (400, "InvalidNetworkInterfaceID.NotFound"));
    assert_eq!(status(&cloud).await, "attaching");
}

#[tokio::test(start_paused = true)]
async fn a_stale_read_is_as_old_as_its_own_resource_and_a_current_one_fails_the_case() {
    let stale = |from: u32| {
        format!(
            "[[fault]]\ncall = \"ec2:DescribeNetworkInterfaces\"\nfrom = {from}\ntimes = 1\n\
             effect = {{ kind = \"stale\" }}"
        )
    };
    let failures = |cloud: &Cloud| {
        let marks = cloud.ledger().events().into_iter().filter_map(|seen| match seen.event {
            Event::Mark { what } if what.starts_with("the world failed") => Some(what),
            _ => None,
        });
        marks.collect::<Vec<_>>()
    };
    let cloud = cloud("", &stale(1));
    attach(&cloud).await;
    // Heartbeats and other instances move on; of the interface the attachment is the last change.
    let action = ActionKey::Instance(NEW.to_owned());
    assert!(cloud.heartbeat(spec::GROUP, spec::HOOK, &action));
    cloud.launch(&spec::InstanceSpec { id: "i-0aaaaaaaaaaaaaa03".into(), ..Default::default() }, None, false);
    assert_eq!(status(&cloud).await, "available");
    assert_eq!(failures(&cloud), Vec::<String>::new());

    let idle = self::cloud("", &stale(1));
    assert_eq!(status(&idle).await, "available");
    let said = "the world failed: the stale answer to ec2:DescribeNetworkInterfaces is the current one";
    assert_eq!(failures(&idle), [said]);
}

#[tokio::test(start_paused = true)]
async fn a_stopped_instance_keeps_its_interface_and_finds_it_again() {
    let cloud = cloud("", "");
    attach(&cloud).await;
    sleep(Duration::from_secs(2)).await;
    cloud.stop(NEW);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(cloud.instance_state(NEW).unwrap().text(), "stopped");
    assert_eq!(cloud.eni(ENI).unwrap().owner(), Some(NEW));
    let mut plugs = cloud.hotplug();
    cloud.start_instance(NEW);
    let started = Hotplug::Power { instance: NEW.into(), power: Power::OnElsewhere };
    assert_eq!(plugs.recv().await, Some(started));
    assert!(matches!(plugs.recv().await, Some(Hotplug::Plug { eni, .. }) if eni == ENI));
}

#[tokio::test(start_paused = true)]
async fn an_instance_with_a_machine_is_stopped_when_its_power_is_off() {
    let cloud = cloud("", "");
    cloud.house(NEW);
    let mut plugs = cloud.hotplug();
    let mut power = async || match plugs.recv().await {
        Some(Hotplug::Power { instance, power }) if instance == NEW => power,
        other => panic!("{other:?}"),
    };
    cloud.stop(NEW);
    assert_eq!(power().await, Power::Off);
    sleep(Duration::from_mins(1)).await;
    assert_eq!(cloud.instance_state(NEW).unwrap().text(), "stopping", "its system still runs");
    cloud.powered(NEW, false);
    cloud.until(|r| r.instance_state(NEW).is_some_and(|state| state.text() == "stopped")).await;
    cloud.start_instance(NEW);
    assert_eq!(power().await, Power::OnElsewhere);
    cloud.powered(NEW, true);
    assert!(cloud.is_powered(NEW));
    cloud.terminate(NEW);
    assert_eq!(power().await, Power::Off);
    cloud.powered(NEW, false);
    cloud.until(|r| r.instance_state(NEW).is_some_and(|state| state.text() == "terminated")).await;
}
