"use strict";
// The search of each console: without it the page is the same, but for the form.
for (const place of document.querySelectorAll(".console")) {
  const form = place.querySelector("form");
  const [field, wrap] = form.querySelectorAll("input");
  const told = form.querySelector("output");
  const lines = place.querySelector(".lines");
  const texts = [...lines.querySelectorAll(".text")].map(element => ({element, text: element.textContent}));
  const most = 5000;
  let found = [], marked = [], now = -1, timer = 0;
  form.hidden = false;

  const clear = () => {
    for (const one of marked) one.element.textContent = one.text;
    found = []; marked = []; now = -1;
  };

  const mark = (one, word) => {
    const text = one.text.toLowerCase();
    let from = 0, at = text.indexOf(word);
    if (at < 0) return;
    marked.push(one);
    one.element.textContent = "";
    for (; at >= 0 && found.length < most; at = text.indexOf(word, from)) {
      const hit = document.createElement("mark");
      hit.textContent = one.text.slice(at, at + word.length);
      one.element.append(one.text.slice(from, at), hit);
      found.push(hit);
      from = at + word.length;
    }
    one.element.append(one.text.slice(from));
  };

  const step = by => {
    if (!found.length) return;
    found[now]?.classList.remove("now");
    now = (now + by + found.length) % found.length;
    found[now].classList.add("now");
    found[now].scrollIntoView({block: "center", inline: "nearest"});
    told.textContent = `${now + 1} of ${found.length}${found.length === most ? " or more" : ""}`;
  };

  const search = () => {
    clear();
    const word = field.value.toLowerCase();
    if (word) for (const one of texts) if (found.length < most) mark(one, word);
    told.textContent = word ? "no match" : "";
    step(1);
  };

  field.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(search, 120); });
  form.addEventListener("submit", event => event.preventDefault());
  field.addEventListener("keydown", event => {
    if (event.key === "Enter") { event.preventDefault(); step(event.shiftKey ? -1 : 1); }
  });
  for (const button of form.querySelectorAll("button")) {
    button.addEventListener("click", () => step(Number(button.dataset.step)));
  }
  wrap.addEventListener("change", () => lines.classList.toggle("wrap", wrap.checked));
}
