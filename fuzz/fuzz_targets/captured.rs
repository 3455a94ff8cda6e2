//! Captured requests: any file is judged without a panic, and a request with a shared secret that is believed is refused under
//! another one.
#![no_main]

use hookhold::signature::{Captured, CapturedSecret, Judgement, verify_captured};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(mut captured) = serde_json::from_slice::<Captured>(data) else { return };
    // That nothing is to be proved is what its file says; a scheme of its own may sign nothing but what it likes.
    let is_ours = !["none", "custom"].contains(&captured.provider.as_str());
    if verify_captured(&captured).judgement != Judgement::Accept || !is_ours || captured.secrets.is_empty() {
        return;
    }
    // Base64, hexadecimal and `user:password` of nobody.
    let others = ["bm9ib2R5LW5vYm9keS1ub2JvZHk=", "6e6f626f6479", "nobody:nobody"];
    captured.secrets = others.map(|text| CapturedSecret::Text(text.to_owned())).to_vec();
    assert_ne!(verify_captured(&captured).judgement, Judgement::Accept, "{captured:?}");
});
