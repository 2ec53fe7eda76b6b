//! DescribeInstanceTypes for the types that the product is for.

use super::describe::page;
use crate::cloud::Cloud;
use crate::endpoint::{Call, Refusal, Xml};

/// Size, vCPUs, GiB, disks, GB per disk, IPv4 addresses per interface; as DescribeInstanceTypes gives them.
const C8GD: [(&str, u32, u32, u32, u32, u32); 12] = [
    ("medium", 1, 2, 1, 59, 4),
    ("large", 2, 4, 1, 118, 10),
    ("xlarge", 4, 8, 1, 237, 15),
    ("2xlarge", 8, 16, 1, 474, 15),
    ("4xlarge", 16, 32, 1, 950, 30),
    ("8xlarge", 32, 64, 1, 1900, 30),
    ("12xlarge", 48, 96, 3, 950, 30),
    ("16xlarge", 64, 128, 2, 1900, 50),
    ("24xlarge", 96, 192, 3, 1900, 50),
    ("48xlarge", 192, 384, 6, 1900, 50),
    ("metal-24xl", 96, 192, 3, 1900, 50),
    ("metal-48xl", 192, 384, 6, 1900, 50),
];

pub(super) fn answer(call: &Call) -> Result<Vec<Xml>, Refusal> {
    let wanted = call.list("InstanceType");
    let known = |name: &str| C8GD.iter().any(|row| name == format!("c8gd.{}", row.0));
    if let Some(unknown) = wanted.iter().find(|name| !known(name)) {
        let text = format!("The following supplied instance types do not exist: [{unknown}]");
        return Err(Refusal::bad("InvalidInstanceType", text));
    }
    let rows =
        C8GD.iter().filter(|row| wanted.is_empty() || wanted.contains(&format!("c8gd.{}", row.0).as_str()));
    page(call, "InstanceType", "instanceTypeSet", rows.collect(), item)
}

fn item(row: &(&str, u32, u32, u32, u32, u32)) -> Xml {
    let (size, cpus, memory, disks, gigabytes, addresses) = *row;
    let name = format!("c8gd.{size}");
    let limit = Cloud::interface_limit(&name);
    let disk = Xml::new("item").text("count", disks).text("sizeInGB", gigabytes).text("type", "ssd");
    let storage = Xml::new("instanceStorageInfo")
        .text("totalSizeInGB", disks * gigabytes)
        .text("nvmeSupport", "required")
        .text("encryptionSupport", "required")
        .child(Xml::list("disks", "item", [disk]));
    let network = Xml::new("networkInfo")
        .text("maximumNetworkInterfaces", limit)
        .text("maximumNetworkCards", 1)
        .text("ipv4AddressesPerInterface", addresses);
    Xml::new("item")
        .text("instanceType", name)
        .text("currentGeneration", true)
        .text("bareMetal", size.starts_with("metal"))
        .text("hypervisor", "nitro")
        .text("instanceStorageSupported", true)
        .child(Xml::new("processorInfo").child(Xml::list(
            "supportedArchitectures",
            "item",
            [Xml::leaf("item", "arm64")],
        )))
        .child(Xml::new("vCpuInfo").text("defaultVCpus", cpus))
        .child(Xml::new("memoryInfo").text("sizeInMiB", memory * 1024))
        .child(storage)
        .child(network)
}
