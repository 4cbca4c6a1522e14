// Takes the registration link out of the address bar and shows where it leads.
// The link's secret stands in the fragment, which no server sees; it leaves the page only when the person continues.
const field = document.getElementById("link");

function take() {
  const values = new URLSearchParams(location.hash.slice(1));
  if (!values.has("t")) return;
  field.value = location.href;
  // Not in the history, and not in the address that someone copies or photographs.
  history.replaceState(null, "", location.pathname);
  document.getElementById("provider").textContent = values.get("p");
  document.getElementById("invitation").hidden = false;
  document.getElementById("problem")?.remove();
  field.closest(".field").hidden = true;
}

take();
// The link was pasted into the address bar over this very page.
addEventListener("hashchange", take);
