//! Claims about manifests: what is good is read whole, and of what is not every mistake is told.

mod properties;
mod refusals;

use expect_test::expect;

use super::*;
use crate::codec;
use crate::ids::SiteId;

/// Every file in the folder of examples that is a manifest.
const EXAMPLES: [(&str, &str); 2] = [
    ("three-tier.yaml", include_str!("../../../../examples/three-tier.yaml")),
    ("secured.yaml", include_str!("../../../../examples/secured.yaml")),
];

fn good(text: &str) -> Manifest {
    parse(text.as_bytes())
        .unwrap_or_else(|faults| panic!("{}", faults.render("good.yaml", text.as_bytes())))
}

#[test]
#[expect(clippy::too_many_lines, reason = "a golden text")]
fn a_good_manifest_is_read_whole() {
    let manifest = good(
        r#"
service: shop
components:
  database: { image: guest, vcpus: 1, memory: 128MiB, disk: 1GiB }
  application:
    image: debian/12:cloud
    vcpus: 2
    memory: "1 GiB"
    disk: 2TiB
    replicas: 3
    after: [database]
    place: { sites: [alpha, beta.example.org] }
    on_partition: hold
    sla: GOLD
    user_data: |
      #!/bin/sh
      echo "hello"
"#,
    );
    expect![[r#"
        Manifest {
            service: "shop",
            networks: {
                "lan": Network {
                    prefix: None,
                    prefix6: None,
                    speed: None,
                    class: BestEffort,
                    outbound: false,
                    group: None,
                },
            },
            groups: {},
            security: {
                "default": Rules {
                    ingress: [],
                    egress: [
                        Rule {
                            traffic: Any,
                            peer: Block(
                                Block(
                                    0.0.0.0/0,
                                ),
                            ),
                        },
                        Rule {
                            traffic: Any,
                            peer: Block(
                                Block(
                                    ::/0,
                                ),
                            ),
                        },
                    ],
                },
            },
            components: {
                "application": Component {
                    image: "debian/12:cloud",
                    size: Size {
                        vcpus: 2,
                        memory: Mebibytes(
                            1024,
                        ),
                        disk: Mebibytes(
                            2097152,
                        ),
                    },
                    replicas: 3,
                    after: {
                        "database",
                    },
                    networks: {
                        "lan": Attachment {
                            address: None,
                            public: false,
                        },
                    },
                    security: {
                        "default",
                    },
                    sites: Some(
                        {
                            "alpha",
                            "beta.example.org",
                        },
                    ),
                    on_partition: Hold,
                    class: Gold,
                    user_data: Some(
                        23 bytes of user data,
                    ),
                },
                "database": Component {
                    image: "guest",
                    size: Size {
                        vcpus: 1,
                        memory: Mebibytes(
                            128,
                        ),
                        disk: Mebibytes(
                            1024,
                        ),
                    },
                    replicas: 1,
                    after: {},
                    networks: {
                        "lan": Attachment {
                            address: None,
                            public: false,
                        },
                    },
                    security: {
                        "default",
                    },
                    sites: None,
                    on_partition: Fence,
                    class: BestEffort,
                    user_data: None,
                },
            },
        }
    "#]]
    .assert_debug_eq(&manifest);
}

#[test]
fn every_example_is_read_and_written_back() {
    for (file, text) in EXAMPLES {
        let manifest = parse(text.as_bytes())
            .unwrap_or_else(|faults| panic!("{}", faults.render(file, text.as_bytes())));
        assert_eq!(good(&manifest.to_string()), manifest, "{file}");
    }
}

#[test]
fn the_three_tiers_are_started_one_after_the_other() {
    let manifest = good(EXAMPLES[0].1);
    expect![[r#"
        [
            [
                "database",
            ],
            [
                "application",
            ],
            [
                "web",
            ],
        ]
    "#]]
    .assert_debug_eq(&manifest.startup_order());
    assert_eq!(manifest.machines(), 5);
}

#[test]
fn what_waits_for_the_same_is_started_together() {
    let mut text = "service: fan\ncomponents:\n".to_owned();
    for (name, after) in [("z", ""), ("b", "z"), ("a", "z"), ("last", "a, b"), ("alone", "")] {
        text.push_str(&format!(
            "  {name}: {{ image: i, vcpus: 1, memory: 1MiB, disk: 1MiB, after: [{after}] }}\n"
        ));
    }
    let manifest = good(&text);
    let order: Vec<String> =
        manifest.startup_order().iter().map(|wave| format!("{wave:?}")).collect();
    assert_eq!(order, [r#"["alone", "z"]"#, r#"["a", "b"]"#, r#"["last"]"#]);
}

#[test]
fn a_manifest_is_written_as_a_person_would_read_it() {
    expect![[r#"
        service: "shop"
        components:
          "application":
            image: "guest"
            vcpus: 1
            memory: 128 MiB
            disk: 64 MiB
            replicas: 2
            after: ["database"]
          "database":
            image: "guest"
            vcpus: 1
            memory: 128 MiB
            disk: 64 MiB
            replicas: 1
          "web":
            image: "guest"
            vcpus: 1
            memory: 128 MiB
            disk: 64 MiB
            replicas: 2
            after: ["application"]
    "#]]
    .assert_eq(&good(EXAMPLES[0].1).to_string());
}

#[test]
fn an_image_that_a_site_does_not_have_is_named_with_its_place() {
    let text = EXAMPLES[0].1.replace("  web:\n    image: guest", "  web:\n    image: gest");
    let manifest = good(&text);
    let faults = check_images(text.as_bytes(), &manifest, &["guest", "debian"]).unwrap_err();
    expect![[r#"
        three-tier.yaml:36:12: there is no image 'gest' in the catalogue of this site
           |
        36 |     image: gest
           |            ^^^^ components.web.image
           = hint: did you mean guest?
    "#]]
    .assert_eq(&faults.render("three-tier.yaml", text.as_bytes()));
    assert_eq!(check_images(text.as_bytes(), &manifest, &["guest", "gest"]), Ok(()));
}

#[test]
fn a_site_is_meant_by_its_name_or_its_whole_id() {
    let id = SiteId::from_bytes([7; 32]);
    let reference = |text: &str| text.parse::<SiteReference>().unwrap();
    assert!(reference("alpha").means(id, "alpha"));
    assert!(reference(&id.to_string()).means(id, "alpha"));
    assert!(!reference("beta").means(id, "alpha"));
    assert!(!reference(&id.short()).means(id, "alpha"));
}

#[test]
fn the_disk_does_not_bring_back_a_manifest_that_could_not_be() {
    let manifest = good(EXAMPLES[0].1);
    let bytes = codec::encode(&manifest);
    assert_eq!(codec::decode::<Manifest>(&bytes, LENGTH_MAX).unwrap(), manifest);

    let mut circular = manifest.components.clone();
    let database = "database".parse::<ComponentName>().unwrap();
    let last = "web".parse::<ComponentName>().unwrap();
    circular.get_mut(&database).unwrap().after.insert(last);
    let bytes = codec::encode(&Manifest { components: circular, ..manifest.clone() });
    assert!(codec::decode::<Manifest>(&bytes, LENGTH_MAX).is_err());

    let mut swollen = manifest.components.clone();
    swollen.get_mut(&database).unwrap().replicas = REPLICAS_MAX + 1;
    let bytes = codec::encode(&Manifest { components: swollen, ..manifest });
    assert!(codec::decode::<Manifest>(&bytes, LENGTH_MAX).is_err());

    let bytes = codec::encode("Not A Label");
    assert!(codec::decode::<ComponentName>(&bytes, LENGTH_MAX).is_err());
    let bytes = codec::encode("label");
    assert!(codec::decode::<ComponentName>(&bytes, LENGTH_MAX).is_ok());
}

#[test]
fn files_of_other_systems_are_read_as_well() {
    let text = EXAMPLES[0].1;
    assert_eq!(good(&text.replace('\n', "\r\n")), good(text));
    assert_eq!(good(&format!("\u{feff}{text}")), good(text));
    assert_eq!(good(&format!("---\n{text}...\n")), good(text));
}

#[test]
fn json_is_yaml() {
    let text = r#"{"service": "shop", "components": {"web":
        {"image": "guest", "vcpus": 1, "memory": "128MiB", "disk": "64MiB"}}}"#;
    assert_eq!(good(text).machines(), 1);
}
