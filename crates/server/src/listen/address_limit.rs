//! How many connections one address has at once.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex};

use crate::lock::lock;

/// How many connections each address has.
///
/// An IPv6 address counts as its network of 64 bits: whoever has one has them all. This machine is not counted: all
/// clients of a reverse proxy on it come from there.
#[derive(Debug)]
pub(crate) struct AddressLimit {
    most: usize,
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// One connection of an address.
#[derive(Debug)]
pub(crate) struct AddressPermit {
    limit: Arc<AddressLimit>,
    network: IpAddr,
}

/// An address has all the connections that it gets.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AddressFull;

impl AddressLimit {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, open: Mutex::default() })
    }

    pub(crate) fn permit(self: &Arc<Self>, address: IpAddr) -> Result<Option<AddressPermit>, AddressFull> {
        self.permit_up_to(self.most, address)
    }

    /// The same for an address that may have another number of them.
    pub(crate) fn permit_up_to(
        self: &Arc<Self>,
        most: usize,
        address: IpAddr,
    ) -> Result<Option<AddressPermit>, AddressFull> {
        let address = address.to_canonical();
        if address.is_loopback() {
            return Ok(None);
        }
        let network = network(address);
        let mut open = lock(&self.open);
        let count = open.entry(network).or_default();
        if *count >= most {
            return Err(AddressFull);
        }
        *count += 1;
        Ok(Some(AddressPermit { limit: Arc::clone(self), network }))
    }
}

impl Drop for AddressPermit {
    fn drop(&mut self) {
        let mut open = lock(&self.limit.open);
        if let Some(count) = open.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.network);
            }
        }
    }
}

/// What one client has for itself: an IPv4 address, or 64 bits of an IPv6 address.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_share_and_this_machine_all() {
        let limit = AddressLimit::new(2);
        let permit = |address: &str| limit.permit(address.parse().expect("an address"));
        let first = permit("192.0.2.1").expect("there is room");
        let second = permit("::ffff:192.0.2.1").expect("there is room");
        assert!(permit("192.0.2.1").is_err());
        assert!(permit("192.0.2.2").is_ok());
        let more = |address: &str| limit.permit_up_to(3, address.parse().expect("an address"));
        let of_peer = more("192.0.2.1").expect("it may have one more");
        assert!(more("192.0.2.1").is_err());
        drop(of_peer);
        drop(first);
        let third = permit("192.0.2.1");
        assert!(third.is_ok() && permit("192.0.2.1").is_err());
        for loopback in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert!((0..10).all(|_| matches!(permit(loopback), Ok(None))), "{loopback}");
        }
        drop((second, third));
        assert!(limit.open.lock().expect("no panic").is_empty());
    }

    #[test]
    fn a_network_of_64_bits_is_one_client() {
        let limit = AddressLimit::new(1);
        let permit = |address: &str| limit.permit(address.parse().expect("an address"));
        let first = permit("2001:db8:1:2::1").expect("there is room");
        assert!(permit("2001:db8:1:2:ffff:ffff:ffff:ffff").is_err());
        assert!(permit("2001:db8:1:3::1").is_ok());
        drop(first);
        assert!(permit("2001:db8:1:2::2").is_ok());
    }
}
