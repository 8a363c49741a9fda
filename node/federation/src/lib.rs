//! The bus between sites: libp2p, and a fake.
