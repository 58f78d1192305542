//! Which worker gets whose datagrams: all of one client network go to one socket of those that share an address.
//!
//! Left alone, the kernel chooses among them by the ports too, and resolvers change ports with every query (RFC 5452 §9.2):
//! no worker would see enough of a client to know how busy it is, or to limit it. So the kernel is given a filter of
//! some instructions (classic BPF), which hashes the source's /24 or /48.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::UdpSocket;

use super::datagram::{Instruction, choose_sockets_by};

/// Lets all datagrams of one client network go to one of the sockets, which share an address. Says over how many of them the
/// queries of a network are spread: over all of them, if the kernel wants it so.
pub fn keep_networks_together(sockets: &[UdpSocket]) -> usize {
    // Its keys are random, which is all that is wanted of it.
    let seed = RandomState::new().hash_one(sockets.len());
    match attach(sockets, seed) {
        Ok(()) => 1,
        Err(error) => {
            tracing::warn!(
                %error,
                "the kernel does not let workers share queries by network; rates and viewers of clients are less exact"
            );
            sockets.len()
        }
    }
}

fn attach(sockets: &[UdpSocket], seed: u64) -> io::Result<()> {
    let [first, _, ..] = sockets else { return Ok(()) };
    // The filter belongs to the group, and one for all of them is enough.
    choose_sockets_by(first, &filter(first.local_addr()?.is_ipv4(), sockets.len() as u32, seed))
}

// Classic BPF (linux/bpf_common.h): A is the accumulator, X the other register, k the constant.
const LOAD_WORD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const AND: u32 = libc::BPF_ALU | libc::BPF_AND | libc::BPF_K;
const XOR: u32 = libc::BPF_ALU | libc::BPF_XOR | libc::BPF_K;
const XOR_X: u32 = libc::BPF_ALU | libc::BPF_XOR | libc::BPF_X;
const MULTIPLY: u32 = libc::BPF_ALU | libc::BPF_MUL | libc::BPF_K;
const SHIFT_RIGHT: u32 = libc::BPF_ALU | libc::BPF_RSH | libc::BPF_K;
const REMAINDER: u32 = libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K;
const A_TO_X: u32 = libc::BPF_MISC | libc::BPF_TAX;
const RETURN_A: u32 = libc::BPF_RET | libc::BPF_A;

/// The filter sees what is behind the UDP header; addresses from here on are counted from the IP header.
const IP_HEADER: u32 = libc::SKF_NET_OFF as u32;
/// Where the source address stands (RFC 791 §3.1, RFC 8200 §3).
const SOURCE_V4: u32 = IP_HEADER + 12;
const SOURCE_V6: u32 = IP_HEADER + 8;

/// Odd constants with well mixed bits: 2^32 over the golden ratio, and those of MurmurHash3's finaliser (Appleby, 2008).
const ODD: [u32; 3] = [0x9e37_79b1, 0x85eb_ca6b, 0xc2b2_ae35];

/// Source address of an IP packet → number of a socket. The seed is secret: nobody can aim at one worker.
fn filter(is_ipv4: bool, sockets: u32, seed: u64) -> Vec<Instruction> {
    let (high, low) = ((seed >> 32) as u32, seed as u32);
    let mut filter = if is_ipv4 {
        vec![(LOAD_WORD, SOURCE_V4), (AND, 0xffff_ff00)]
    } else {
        let upper = [(LOAD_WORD, SOURCE_V6), (XOR, high), (MULTIPLY, ODD[0]), (A_TO_X, 0)];
        let lower = [(LOAD_WORD, SOURCE_V6 + 4), (AND, 0xffff_0000), (XOR_X, 0)];
        [upper.as_slice(), &lower].concat()
    };
    filter.extend([(XOR, low), (MULTIPLY, ODD[1]), (A_TO_X, 0), (SHIFT_RIGHT, 15), (XOR_X, 0), (MULTIPLY, ODD[2])]);
    // The upper half: the lower one follows from fewer bits of the address.
    filter.extend([(SHIFT_RIGHT, 16), (REMAINDER, sockets), (RETURN_A, 0)]);
    filter.into_iter().map(|(code, constant)| Instruction { code: code as u16, constant }).collect()
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

    use super::*;
    use crate::serve::udp::bind;

    const WORKERS: usize = 4;

    fn sockets(address: &str) -> Vec<UdpSocket> {
        let sockets = bind(SocketAddr::new(address.parse().expect(address), 0), WORKERS).expect(address);
        sockets.iter().for_each(|socket| socket.set_nonblocking(true).expect("a socket"));
        attach(&sockets, 0x0123_4567_89ab_cdef).expect("the kernel takes the filter");
        sockets
    }

    /// Sends from so many ports of an address, and says how many datagrams each worker got.
    fn reached(sockets: &[UdpSocket], source: IpAddr, ports: usize) -> Vec<usize> {
        let server = sockets[0].local_addr().expect("bound");
        for _ in 0..ports {
            let client = UdpSocket::bind((source, 0)).expect("a port");
            // On loopback it is in the receiver's queue when this returns.
            client.send_to(b"?", server).expect("sent");
        }
        let received = |socket: &UdpSocket| std::iter::from_fn(|| socket.recv_from(&mut [0; 8]).ok()).count();
        sockets.iter().map(received).collect()
    }

    #[test]
    fn all_ports_of_a_network_reach_one_worker_and_networks_are_spread() {
        for address in ["127.0.0.1", "0.0.0.0"] {
            let sockets = sockets(address);
            let mut networks = [0; WORKERS];
            for network in 0..64 {
                let mut of_network = [0; WORKERS];
                for host in [1, 7, 254] {
                    let got = reached(&sockets, Ipv4Addr::new(127, 0, network, host).into(), 4);
                    of_network.iter_mut().zip(got).for_each(|(sum, got)| *sum += got);
                }
                let owner = of_network.iter().position(|&got| got == 12);
                networks[owner.unwrap_or_else(|| panic!("127.0.{network}.0/24 is spread: {of_network:?}"))] += 1;
            }
            assert!(networks.iter().all(|&owned| (6..=30).contains(&owned)), "{networks:?}");
        }
    }

    #[test]
    fn all_ports_of_an_ipv6_address_reach_one_worker() {
        for address in ["::1", "::"] {
            let got = reached(&sockets(address), Ipv6Addr::LOCALHOST.into(), 32);
            assert!(got.contains(&32), "{got:?}");
        }
    }

    /// What the kernel would make of a packet with this source.
    fn run(filter: &[Instruction], source: Ipv6Addr) -> u32 {
        let (mut a, mut x) = (0u32, 0u32);
        for &Instruction { code, constant: k } in filter {
            match u32::from(code) {
                LOAD_WORD => {
                    let from = (k - SOURCE_V6) as usize;
                    a = u32::from_be_bytes(*source.octets()[from..].first_chunk().expect("within the address"));
                }
                AND => a &= k,
                XOR => a ^= k,
                XOR_X => a ^= x,
                MULTIPLY => a = a.wrapping_mul(k),
                SHIFT_RIGHT => a >>= k,
                REMAINDER => a %= k,
                A_TO_X => x = a,
                RETURN_A => return a,
                other => panic!("instruction {other:#x}"),
            }
        }
        panic!("the filter does not end");
    }

    #[test]
    fn ipv6_networks_are_told_apart_by_48_bits() {
        let (filter, other) = (filter(false, 4, 1), filter(false, 4, 2));
        let network = |number: u16, host: u16| Ipv6Addr::new(0x2001, 0xdb8, number, host, 1, 2, 3, host);
        let mut networks = [0; WORKERS];
        let mut moved = 0;
        for number in 0..1000 {
            let owner = run(&filter, network(number, 0));
            assert!((1..20).all(|host| run(&filter, network(number, host * 97)) == owner));
            networks[owner as usize] += 1;
            moved += usize::from(run(&other, network(number, 0)) != owner);
        }
        assert!(networks.iter().all(|&owned| (200..300).contains(&owned)), "{networks:?}");
        assert!((650..850).contains(&moved), "the seed decides: {moved}");
        let (first, second) = (Ipv6Addr::new(0x2001, 1, 5, 0, 0, 0, 0, 1), Ipv6Addr::new(0x2001, 2, 5, 0, 0, 0, 0, 1));
        assert!((0..20).any(|seed| {
            let filter = super::filter(false, 4, seed);
            run(&filter, first) != run(&filter, second)
        }));
    }

    #[test]
    fn where_the_kernel_refuses_queries_are_known_to_be_spread() {
        let one = || crate::serve::udp::bind_alone("127.0.0.1:0".parse().expect("an address")).expect("bound");
        assert_eq!(keep_networks_together(&[one(), one()]), 2, "they share no address");
        assert_eq!(keep_networks_together(&[one()]), 1, "one gets all");
    }
}
