"use strict";
// Which side the attacker's better image stands on must not tell who says what.
function swapped(pair) {
  let sum = 0;
  for (const letter of pair.textContent) sum = (sum * 31 + letter.codePointAt(0)) >>> 0;
  return sum % 2 === 1;
}

function setUpFilters(form, matches) {
  const update = () => {
    const attacker = form.elements.attacker.value;
    const defender = form.elements.defender.value;
    let count = 0;
    matches.forEach((match) => {
      match.hidden = Boolean(attacker && match.dataset.attacker !== attacker)
        || Boolean(defender && match.dataset.defender !== defender);
      if (!match.hidden) count += match.querySelectorAll(".pair").length;
    });
    const blind = form.elements.blind.checked;
    document.body.classList.toggle("blind", blind);
    document.querySelectorAll(".pair").forEach((pair) => {
      pair.querySelector(".shot").style.order = blind && swapped(pair) ? 1 : 0;
    });
    form.querySelector(".found").textContent = `${count} ${count === 1 ? "pair" : "pairs"}`;
  };
  form.hidden = false;
  form.addEventListener("input", update);
  form.addEventListener("submit", (event) => event.preventDefault());
  update();
}

function setUpViewer(viewer) {
  let current = null;
  const shown = () => Array.from(document.querySelectorAll(".match:not([hidden]) .pair"));
  const show = (pair) => {
    current = pair;
    viewer.querySelector(".where").textContent =
      document.body.classList.contains("blind") ? pair.querySelector("h4").textContent : pair.getAttribute("aria-label");
    const shots = viewer.querySelector(".shots");
    shots.replaceChildren(...Array.from(pair.querySelectorAll(".shot"), (shot) => {
      const copy = shot.cloneNode(true);
      const image = copy.querySelector("img");
      image.loading = "eager";
      // Small images fill the window no further than their pixels can be told apart.
      image.style.maxWidth = `${3 * Number(image.getAttribute("width"))}px`;
      copy.querySelector(".look").replaceWith(image);
      const frame = document.createElement("div");
      frame.className = "look";
      frame.append(image);
      copy.prepend(frame);
      return copy;
    }));
    viewer.querySelector(".gap").replaceChildren(...Array.from(pair.querySelectorAll("p"), (line) => line.cloneNode(true)));
  };
  document.querySelectorAll(".pair .look").forEach((button) => {
    button.addEventListener("click", () => {
      show(button.closest(".pair"));
      viewer.showModal();
    });
  });
  viewer.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    const pairs = shown();
    event.preventDefault();
    show(pairs[(pairs.indexOf(current) + step + pairs.length) % pairs.length]);
  });
  viewer.addEventListener("close", () => { if (current) current.querySelector(".look").focus(); });
}

document.addEventListener("DOMContentLoaded", () => {
  setUpFilters(document.querySelector(".filters"), Array.from(document.querySelectorAll(".match")));
  setUpViewer(document.querySelector(".viewer"));
});
