// Stops htmx polling while the page is hidden: the next tick after it is shown again goes through.
document.addEventListener("htmx:beforeRequest", (event) => {
  const isPoll = (event.target.getAttribute("hx-trigger") ?? "").includes("every");
  if (isPoll && document.hidden) event.preventDefault();
});
