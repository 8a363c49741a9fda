//! Claims about which addresses an operator may give for a peer.

use crate::{Error, check_address};

#[test]
fn an_address_is_a_number_or_a_name_behind_tcp_or_quic() {
    for good in [
        "/ip4/192.0.2.1/tcp/7401",
        "/ip6/2001:db8::1/udp/7401/quic-v1",
        "/dns4/site.example/tcp/7401",
        "/dns6/site.example/udp/7401/quic-v1",
        "/dns/site.example/tcp/7401",
        "/ip4/192.0.2.1/tcp/7401/p2p/12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA/p2p-circuit",
    ] {
        assert!(check_address(good).is_ok(), "{good}");
    }
}

#[test]
fn an_address_that_nobody_here_can_dial_is_refused_with_one_that_can() {
    for bad in [
        "/dnsaddr/site.example",
        "/dnsaddr/site.example/tcp/7401",
        "/ip4/192.0.2.1",
        "/ip4/192.0.2.1/udp/7401",
        "/ip4/192.0.2.1/tcp/7401/ws",
        "/unix/socket",
        "/memory/7",
    ] {
        let refused = check_address(bad).unwrap_err();
        assert!(matches!(refused, Error::Form { .. }), "{bad}: {refused}");
        assert!(refused.to_string().contains("/dns4/site.example/tcp/7400"), "{refused}");
    }
    assert!(matches!(check_address("site.example:7401"), Err(Error::Address { .. })));
}
