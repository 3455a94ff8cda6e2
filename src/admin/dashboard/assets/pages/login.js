// The page that takes a token. It goes to the relay once, and the browser keeps a cookie that no script can read.

import { login } from "../api.js";
import { h } from "../dom.js";
import { heading } from "../parts.js";

export function view(entered) {
  const wrong = h("p", { class: "wrong", role: "alert", id: "wrong" });
  const submit = async (event) => {
    event.preventDefault();
    const form = event.target;
    const button = form.querySelector("button");
    button.disabled = true;
    wrong.textContent = "";
    try {
      await login(form.elements.token.value);
      form.reset();
      await entered();
    } catch (problem) {
      wrong.textContent = problem.message;
      form.elements.token.select();
    } finally {
      button.disabled = false;
    }
  };
  return [
    heading("Log in"),
    h("form", { class: "login", onsubmit: submit, "data-keep": "login" },
      h("label", {}, h("span", {}, "Token"),
        h("input", {
          name: "token", type: "password", required: true, autocomplete: "current-password", "aria-describedby": "wrong token-hint",
        })),
      h("p", { class: "hint", id: "token-hint" }, "One of the tokens in the [admin] section of relay.toml."),
      h("div", { class: "buttons" }, h("button", { type: "submit", class: "main" }, "Log in")),
      wrong),
  ];
}
