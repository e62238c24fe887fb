//! WHO: a workload by name, or an address.

use std::net::IpAddr;

use anyhow::anyhow;
use ringfence_dataplane::model::{Inventory, Workload, WorkloadName};

use crate::exit::Failure;

/// Names offered for one that does not exist.
const SUGGESTIONS: usize = 3;
/// How alike a suggestion has to be, 1 being equal.
const LIKENESS: f32 = 0.6;

/// One end of a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// `namespace/name`; the address where no workload has it.
    pub name: String,
    /// Its addresses, at least one.
    pub addresses: Vec<IpAddr>,
}

impl Who {
    /// The workload or address that `text` names: `namespace/name`; a name in the default
    /// namespace, or anywhere if there is only one; or an address.
    ///
    /// # Errors
    ///
    /// [`Failure::Usage`] if there is none, more than one, or it has no address.
    pub fn find(
        text: &str,
        inventory: &Inventory,
        default_namespace: &str,
    ) -> Result<Self, Failure> {
        if let Ok(address) = text.parse::<IpAddr>() {
            let name = inventory.owner(address).map(|workload| workload.name.to_string());
            return Ok(Self { name: name.unwrap_or(text.into()), addresses: vec![address] });
        }
        let workload = match text.split_once('/') {
            Some((namespace, name)) => inventory.workload(&WorkloadName::new(namespace, name)),
            None => by_name(text, inventory, default_namespace)?,
        };
        let Some(workload) = workload else { return Err(unknown(text, inventory)) };
        if workload.addresses.is_empty() {
            return Err(Failure::Usage(anyhow!(
                "workload `{}` has no address, so no flow can be traced; its document may give \
                 it some, or name an address instead",
                workload.name
            )));
        }
        Ok(Self { name: workload.name.to_string(), addresses: workload.addresses.clone() })
    }
}

fn by_name<'i>(
    name: &str,
    inventory: &'i Inventory,
    default_namespace: &str,
) -> Result<Option<&'i Workload>, Failure> {
    if let Some(workload) = inventory.workload(&WorkloadName::new(default_namespace, name)) {
        return Ok(Some(workload));
    }
    let of_name: Vec<&Workload> =
        inventory.workloads().filter(|workload| workload.name.name == name).collect();
    match of_name.as_slice() {
        [] => Ok(None),
        [workload] => Ok(Some(workload)),
        several => {
            let names: Vec<String> = several.iter().map(|w| format!("`{}`", w.name)).collect();
            Err(Failure::Usage(anyhow!(
                "several workloads are called `{name}`: name one of {}",
                names.join(", ")
            )))
        }
    }
}

fn unknown(text: &str, inventory: &Inventory) -> Failure {
    let names: Vec<String> = inventory.workloads().map(|w| w.name.to_string()).collect();
    let whole: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut alike = similar::get_close_matches(text, &whole, SUGGESTIONS, LIKENESS);
    if alike.is_empty() && !text.contains('/') {
        let last = |name: &&str| name.split_once('/').is_some_and(|(_, name)| is_alike(text, name));
        alike = whole.iter().copied().filter(last).take(SUGGESTIONS).collect();
    }
    let hint = if names.is_empty() {
        "the documents describe no workloads; add Pods or Workloads with `-f`".to_owned()
    } else if alike.is_empty() {
        "give `namespace/name` of a workload in the documents, or an address".to_owned()
    } else {
        format!("did you mean `{}`?", alike.join("`, `"))
    };
    Failure::Usage(anyhow!("there is no workload `{text}`; {hint}"))
}

fn is_alike(text: &str, name: &str) -> bool {
    !similar::get_close_matches(text, &[name], 1, LIKENESS).is_empty()
}

#[cfg(test)]
mod tests {
    use ringfence_dataplane::model::Labels;

    use super::*;

    fn inventory() -> Inventory {
        let mut inventory = Inventory::default();
        for (namespace, name, address) in [
            ("shop", "web", Some("10.0.0.1")),
            ("shop", "database", Some("10.0.0.2")),
            ("office", "web", Some("10.0.0.3")),
            ("default", "lonely", None),
        ] {
            let workload = Workload {
                name: WorkloadName::new(namespace, name),
                labels: Labels::new(),
                addresses: address.into_iter().map(|a: &str| a.parse().unwrap()).collect(),
                ports: Vec::new(),
                interface: None,
                host: false,
            };
            inventory.add_workload(workload).unwrap();
        }
        inventory
    }

    fn find(text: &str) -> Result<String, String> {
        match Who::find(text, &inventory(), "office") {
            Ok(who) => Ok(format!("{} {:?}", who.name, who.addresses)),
            Err(Failure::Usage(error) | Failure::Operation(error)) => Err(error.to_string()),
        }
    }

    #[test]
    fn names_and_addresses_are_found() {
        assert_eq!(find("shop/web"), Ok("shop/web [10.0.0.1]".into()));
        assert_eq!(find("web"), Ok("office/web [10.0.0.3]".into()), "the default namespace first");
        assert_eq!(find("database"), Ok("shop/database [10.0.0.2]".into()), "the only one");
        assert_eq!(find("10.0.0.2"), Ok("shop/database [10.0.0.2]".into()));
        assert_eq!(find("2001:db8::1"), Ok("2001:db8::1 [2001:db8::1]".into()));
    }

    #[test]
    fn what_is_not_found_comes_with_a_way_out() {
        let expected = "there is no workload `shop/wep`; did you mean `shop/web`?";
        assert_eq!(find("shop/wep"), Err(expected.into()));
        let expected = "there is no workload `databse`; did you mean `shop/database`?";
        assert_eq!(find("databse"), Err(expected.into()));
        let expected = "there is no workload `10.0.0`; give `namespace/name` of a workload in the \
                        documents, or an address";
        assert_eq!(find("10.0.0"), Err(expected.into()));
        assert!(find("lonely").unwrap_err().contains("has no address"));
        let Err(Failure::Usage(error)) = Who::find("web", &inventory(), "default") else {
            panic!("two workloads are called `web`");
        };
        assert_eq!(
            error.to_string(),
            "several workloads are called `web`: name one of `office/web`, `shop/web`"
        );
    }
}
