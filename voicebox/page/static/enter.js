// The token stands behind the # of the link, which no browser sends: put it into the form, and take it out of the address bar.
const token = document.getElementById("token");
if (token && location.hash.length > 1) {
  token.value = location.hash.slice(1);
  history.replaceState(null, "", location.pathname);
  document.getElementById("token-field").hidden = true;
  document.getElementById("passphrase").focus();
}
