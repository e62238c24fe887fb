//! The tables of a small policy, in full. Bless changes with `cargo insta review`, or by running
//! the test with `INSTA_UPDATE=always`, and review them like code.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod shop;

use ringfence_dataplane::compile::compile;

#[test]
fn tables_of_the_shop() {
    let tables = compile(&shop::shop()).unwrap();
    insta::assert_snapshot!(tables);
}

#[test]
fn difference_when_the_office_goes() {
    let before = shop::shop();
    let mut after = before.clone();
    after.policies[0].ingress.pop();
    let (old, new) = (compile(&before).unwrap(), compile(&after).unwrap());
    insta::assert_snapshot!(old.diff(&new));
}
