//! The layer against the published vectors of HCTR2 (tests/vectors/hctr2; the file names its source).

use voicebox_core::layer::Layer;

fn octets(hex: &serde_json::Value) -> Vec<u8> {
    let hex = hex.as_str().expect("hexadecimal text");
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal digits")).collect()
}

#[test]
fn published_vectors_hold_in_both_directions() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/hctr2/aes128.json");
    let file: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).expect("the vectors are there")).expect("JSON");
    let vectors = file["vectors"].as_array().expect("a list");
    assert_eq!(vectors.len(), 200);
    for vector in vectors {
        let key: [u8; 16] = octets(&vector["key"]).try_into().expect("16 octets");
        let (tweak, plaintext, ciphertext) = (octets(&vector["tweak"]), octets(&vector["plaintext"]), octets(&vector["ciphertext"]));
        let layer = Layer::new(&key);
        let mut text = plaintext.clone();
        layer.encipher(&tweak, &mut text);
        assert_eq!(text, ciphertext);
        layer.decipher(&tweak, &mut text);
        assert_eq!(text, plaintext);
    }
}
