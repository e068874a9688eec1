//! Who gets the room that there is for handshakes, and what a cookie binds (PROTOCOL.md §2.1).

use std::net::{IpAddr, SocketAddr};

/// Handshakes at one time, of which one address may have a quarter and its neighbourhood a half.
const MAX_COMING: usize = 256;

/// How full the room for handshakes is for an address, 1 000 and more where there is none for it: the quarter of the room that one address may have, the half of
/// one neighbourhood, and the whole.
pub(crate) fn crowding(coming: impl Iterator<Item = IpAddr>, from: IpAddr) -> u64 {
    let (mut same, mut near, mut all) = (0, 0, 0);
    for other in coming {
        all += 1;
        near += usize::from(neighbourhood(other) == neighbourhood(from));
        same += usize::from(other == from);
    }
    (all.max(2 * near).max(4 * same) * 1_000 / MAX_COMING) as u64
}

/// What is mostly one user's, or one provider's for few: an IPv4 /24, an IPv6 /64.
fn neighbourhood(address: IpAddr) -> (bool, u64) {
    match address {
        IpAddr::V4(v4) => (true, u64::from(u32::from(v4) >> 8)),
        IpAddr::V6(v6) => (false, (u128::from(v6) >> 64) as u64),
    }
}

/// What a cookie binds: address and port.
pub(crate) fn address_octets(address: SocketAddr) -> Vec<u8> {
    let mut octets = match address.ip() {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    octets.extend_from_slice(&address.port().to_be_bytes());
    octets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_and_one_neighbourhood_leave_room_for_the_others() {
        let (one, beside, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 9]), IpAddr::from([192, 0, 3, 1]));
        let of = |counts: &[(IpAddr, usize)], from| crowding(counts.iter().flat_map(|&(address, count)| std::iter::repeat_n(address, count)), from);
        let full = |counts: &[(IpAddr, usize)], from| of(counts, from) >= 1_000;
        assert_eq!(of(&[], one), 0);
        assert!(!full(&[(one, 63)], one) && full(&[(one, 64)], one));
        assert_eq!((of(&[(one, 64)], beside), of(&[(one, 64)], other)), (500, 250), "who is not of the crowd is not discarded");
        assert!(!full(&[(one, 64), (beside, 63)], beside) && full(&[(one, 64), (beside, 64)], IpAddr::from([192, 0, 2, 77])));
        assert_eq!(of(&[(one, 64), (beside, 64)], other), 500);
        let mut many: Vec<_> = (0..64).map(|number| (IpAddr::from([10, number, 0, 1]), 4)).collect();
        assert!(full(&many, other));
        many.pop();
        assert!(!full(&many, other));
        let v6 = |net: u16, host: u16| IpAddr::from([0x2001, 0xdb8, 0, net, 0, 0, 0, host]);
        assert_eq!((of(&[(v6(1, 1), 32)], v6(1, 2)), of(&[(v6(1, 1), 32)], v6(2, 1))), (250, 125));
    }
}
