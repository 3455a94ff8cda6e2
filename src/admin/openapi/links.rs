//! Links between operations: what of an answer names the next call. Programs follow them, and so does the test of the API.

use serde_json::Value;
use utoipa::openapi::link::LinkBuilder;
use utoipa::openapi::{OpenApi, RefOr};

/// From an answer of an operation (with this status) to the operation that takes this of it as this parameter.
struct From(&'static str, &'static str, &'static str, &'static [To]);

/// An operation, and its parameter.
type To = (&'static str, &'static str);

const EVENT: &[To] = &[("showEvent", "id"), ("readEventBody", "id"), ("replayEvent", "id"), ("listDeliveries", "event")];
const DELIVERY: &[To] = &[("showDelivery", "id"), ("retryDelivery", "id"), ("parkDelivery", "id"), ("cancelDelivery", "id")];
const REPLAY: &[To] = &[("showReplay", "id"), ("pauseReplay", "id"), ("resumeReplay", "id"), ("cancelReplay", "id")];
const DESTINATION: &[To] = &[
    ("showDestination", "name"),
    ("pauseDestination", "name"),
    ("resumeDestination", "name"),
    ("listDeliveries", "destination"),
    ("listEvents", "destination"),
];
const SOURCE: &[To] = &[
    ("pauseSource", "name"),
    ("resumeSource", "name"),
    ("armSource", "name"),
    ("disarmSource", "name"),
    ("listEvents", "source"),
];
const QUARANTINED: &[To] = &[("showQuarantined", "id"), ("readQuarantinedBody", "id"), ("dropQuarantined", "id")];

const LINKS: &[From] = &[
    From("listEvents", "200", "/items/0/id", EVENT),
    From("listEvents", "200", "/next", &[("listEvents", "cursor")]),
    From("showEvent", "200", "/deliveries/0/id", DELIVERY),
    From("replayEvent", "202", "/deliveries/0", DELIVERY),
    From("listDeliveries", "200", "/items/0/id", DELIVERY),
    From("listDeliveries", "200", "/items/0/event_id", EVENT),
    From("listDeliveries", "200", "/next", &[("listDeliveries", "cursor")]),
    From("showDelivery", "200", "/id", DELIVERY),
    From("showDelivery", "200", "/event_id", EVENT),
    From("retryDelivery", "202", "/id", DELIVERY),
    From("parkDelivery", "202", "/id", DELIVERY),
    From("cancelDelivery", "202", "/event_id", EVENT),
    From("createReplay", "202", "/id", REPLAY),
    From("showReplay", "200", "/id", REPLAY),
    From("listReplays", "200", "/items/0/id", REPLAY),
    From("listDestinations", "200", "/items/0/name", DESTINATION),
    From("listSources", "200", "/items/0/name", SOURCE),
    From("listQuarantine", "200", "/items/0/id", QUARANTINED),
    From("listQuarantine", "200", "/next", &[("listQuarantine", "cursor")]),
];

/// Adds them. One whose operation or answer is gone is left out; a test looks that none is.
pub(super) fn add(api: &mut OpenApi) {
    for operation in api.paths.paths.values_mut().flat_map(super::operations) {
        for From(from, status, pointer, to) in LINKS {
            if operation.operation_id.as_deref() != Some(from) {
                continue;
            }
            let Some(RefOr::T(answer)) = operation.responses.responses.get_mut(*status) else { continue };
            for (target, parameter) in *to {
                let value = Value::from(format!("$response.body#{pointer}"));
                let link = LinkBuilder::new().operation_id(*target).parameter(*parameter, value).build();
                let of = pointer.rsplit('/').next().unwrap_or_default();
                answer.links.insert(format!("{target} by {of}"), link.into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_link_is_there_and_leads_to_a_parameter() {
        let described: Value = serde_json::from_str(&crate::admin::description()).unwrap();
        let operations: Vec<&Value> =
            described["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap().values()).collect();
        let named = |id: &str| *operations.iter().find(|one| one["operationId"] == id).unwrap_or_else(|| panic!("{id}"));
        for From(from, status, pointer, to) in LINKS {
            let links = named(from)["responses"][status]["links"].as_object().unwrap_or_else(|| panic!("{from} {status}"));
            for (target, parameter) in *to {
                let found = links.values().find(|link| link["operationId"] == *target);
                let expected = format!("$response.body#{pointer}");
                let any = links.values().any(|link| link["operationId"] == *target && link["parameters"][*parameter] == expected);
                assert!(any, "{from} -> {target}: {found:?}");
                let parameters = named(target)["parameters"].as_array().unwrap();
                assert!(parameters.iter().any(|one| one["name"] == *parameter), "{target} has no {parameter}");
            }
        }
    }
}
