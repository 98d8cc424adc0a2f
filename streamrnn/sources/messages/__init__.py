"""Links whose bytes come as messages: datagrams of UDP, messages of an MQTT broker."""
