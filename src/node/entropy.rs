//! Randomness, from the operating system.

/// A number that no other start of any replica has.
pub fn nonce() -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the operating system has randomness");
    u64::from_le_bytes(bytes)
}
