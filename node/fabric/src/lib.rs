//! Networks on one host: a bridge with DHCP.
