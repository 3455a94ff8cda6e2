// The address bar: which page, of what, with which filters. Everything that somebody may want to send to a colleague is in it.
//
// It is the part behind `#`, so a dashboard behind a proxy works under any path, and what is looked for is in no log.

/** Where we are: the page's name, an id or null, and the filters. */
export function here() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  const [page, id] = path.split("/").map(decoded);
  return { page: page || "overview", id: id || null, query: Object.fromEntries(new URLSearchParams(query ?? "")) };
}

/** The link to a page. Empty filters are left out. */
export function link(page, id = null, query = {}) {
  const path = [page === "overview" ? "" : page, id].filter((part) => part !== null).map(encodeURIComponent).join("/");
  const rest = new URLSearchParams(Object.entries(query).filter(([, value]) => value));
  return `#/${path}${rest.size ? `?${rest}` : ""}`;
}

/** Goes there. */
export function go(to) {
  location.hash = to.slice(1);
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
