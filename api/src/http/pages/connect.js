// Takes the registration link out of the address bar and shows where it leads.
// The link's secret stands in the fragment, which no server sees; it leaves the page only when the person continues.
const field = document.getElementById("link");
const values = new URLSearchParams(location.hash.slice(1));

if (values.has("t")) {
  field.value = location.href;
  // Not in the history, and not in the address that someone copies or photographs.
  history.replaceState(null, "", location.pathname);
  document.getElementById("provider").textContent = values.get("p");
  document.getElementById("invitation").hidden = false;
  field.closest(".field").hidden = true;
}
