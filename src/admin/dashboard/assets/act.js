// What a person can do with a delivery, wherever one shows: try it now, put it aside, call it off. The API refuses what its state
// does not allow; buttons that would be refused are not shown.

import { post } from "./api.js";
import { h } from "./dom.js";
import { action, ask, asking } from "./parts.js";

/** Retry is for what gave up, and for what waits. */
export function retry(context, delivery) {
  if (!["parked", "pending"].includes(delivery.state)) return null;
  const work = async () => {
    await post(["deliveries", delivery.id, "retry"]);
    return `The delivery to ${delivery.destination} is due now.`;
  };
  return action(context, "Retry", work, { "aria-label": `Retry the delivery to ${delivery.destination}`, "data-do": "retry" });
}

/** Parking is for what waits: it is kept, and holds nothing up. A retry takes it back, so nobody is asked. */
export function park(context, delivery) {
  if (delivery.state !== "pending") return null;
  const work = async () => {
    await post(["deliveries", delivery.id, "park"]);
    return `The delivery to ${delivery.destination} is put aside until somebody retries it.`;
  };
  return action(context, "Park", work, { "aria-label": `Park the delivery to ${delivery.destination}`, "data-do": "park" });
}

/** Cancelling ends it. */
export function cancel(context, delivery) {
  if (!["pending", "parked"].includes(delivery.state)) return null;
  const open = () => ask(context, "Cancel this delivery", "Cancel the delivery",
    h("p", {}, "It will not be tried again. The event stays, and can be replayed."),
    async () => {
      await post(["deliveries", delivery.id, "cancel"]);
      return `The delivery to ${delivery.destination} is cancelled.`;
    });
  return asking(context, "Cancel", open, { "aria-label": `Cancel the delivery to ${delivery.destination}`, "data-do": "cancel" });
}

/** All of them, for a row or a card. */
export const all = (context, delivery) => [retry(context, delivery), park(context, delivery), cancel(context, delivery)];
