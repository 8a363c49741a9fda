//! The instance identity document: what SDKs read to learn where they run.

use std::net::Ipv4Addr;

use serde::Serialize;

use crate::instance::Instance;

/// EC2's document, with its fields in its order. Those that mean nothing here are null, as they
/// mostly are there.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    account_id: &'a str,
    architecture: &'static str,
    availability_zone: &'a str,
    billing_products: Option<&'static str>,
    devpay_product_codes: Option<&'static str>,
    marketplace_product_codes: Option<&'static str>,
    image_id: &'a str,
    instance_id: &'a str,
    instance_type: &'a str,
    kernel_id: Option<&'static str>,
    pending_time: Option<String>,
    private_ip: Option<Ipv4Addr>,
    ramdisk_id: Option<&'static str>,
    region: &'a str,
    version: &'static str,
}

/// The document of an instance, as JSON.
pub(crate) fn of(instance: &Instance) -> String {
    let seconds = instance.launched.as_millis() / 1_000;
    let launched = i64::try_from(seconds).ok();
    let moment = launched.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    let document = Document {
        account_id: instance.account.as_str(),
        architecture: "x86_64",
        availability_zone: instance.zone.as_str(),
        billing_products: None,
        devpay_product_codes: None,
        marketplace_product_codes: None,
        image_id: instance.image.as_str(),
        instance_id: instance.id.as_str(),
        instance_type: instance.instance_type.as_str(),
        kernel_id: None,
        pending_time: moment.map(|moment| moment.to_string()),
        private_ip: instance.card.ipv4.first().copied(),
        ramdisk_id: None,
        region: instance.region.as_str(),
        version: "2017-09-30",
    };
    serde_json::to_string_pretty(&document).expect("text and nulls can be written as JSON")
}
