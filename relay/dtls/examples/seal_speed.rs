//! Measures what a cell costs: `cargo run --release --example seal_speed CERTIFICATE_DER KEY_DER`.

use std::time::Instant;
use voicebox_dtls::{Association, Dialer, Identity, Listener, State, CELL_OCTETS, RECORD_OCTETS};

fn main() {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    let [certificate, key] = paths.as_slice() else { return eprintln!("usage: seal_speed CERTIFICATE_DER KEY_DER") };
    let read = |path| std::fs::read(path).expect("the file can be read");
    let identity = Identity::from_der(&read(certificate), &read(key)).expect("a certificate and its key");
    let mut server = Listener::new(&identity).and_then(|listener| listener.accept(0)).expect("settings are taken");
    let pin = identity.pin().expect("a pin");
    let began = Instant::now();
    let mut client = Dialer::new(None).and_then(|dialer| dialer.connect(pin, 0)).expect("settings are taken");
    let mut cell = [0; CELL_OCTETS];
    while client.state() != State::Open {
        while let Some(datagram) = client.poll_datagram() {
            server.handle_datagram(0, &datagram, &mut cell);
        }
        while let Some(datagram) = server.poll_datagram() {
            client.handle_datagram(0, &datagram, &mut cell);
        }
        assert!(client.state() != State::Failed && server.state() != State::Failed);
    }
    println!("handshake, both sides: {} us", began.elapsed().as_micros());
    let (mut sealing, mut opening) = (0, 0);
    let mut records = vec![[0; RECORD_OCTETS]; 1_000];
    for _ in 0..200 {
        let began = Instant::now();
        for record in &mut records {
            client.seal(&cell, record).expect("open");
        }
        sealing += began.elapsed().as_nanos();
        let began = Instant::now();
        for record in &records {
            server.handle_datagram(0, record, &mut cell);
        }
        opening += began.elapsed().as_nanos();
    }
    println!("seal {} ns, open {} ns a cell", sealing / 200_000, opening / 200_000);
}
