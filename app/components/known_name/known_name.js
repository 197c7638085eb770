/* Cookies are shared by all ports of a host, so the port is in the name. An empty name at first is no wish to forget. */
const DAYS = 180;
let last = "";

export default function render({ data }) {
  if (data.name === last) return;
  last = data.name;
  const age = data.name ? DAYS * 86400 : 0;
  document.cookie = `sarm_name_${location.port}=${encodeURIComponent(data.name)}; path=/; max-age=${age}; SameSite=Strict`;
}
