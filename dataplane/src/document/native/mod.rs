//! Our own documents (`ringfence.dev/v1alpha1`), for hosts outside Kubernetes.

mod workload;

pub(super) use workload::{WorkloadDocument, read_address};
