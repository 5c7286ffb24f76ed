"""`tollbook quota`: the worker, which needs the extra `kafka`, and the subcommands, which do not."""

from cyclopts import App

from tollbook.cli import extras

app = App(
    name="quota",
    help="Watch usage.totals, alert when a quota is reached, and publish which quotas are exceeded. Runs until SIGTERM.\n\n"
    "Alerts are recorded in the lake, and sent from there. It is safe to kill at any time, and no alert is sent twice. One "
    "of several workers sends them, and watches the lake for alerts of all other kinds. The subcommands grant more of a "
    "quota, and need no Kafka.\n\n"
    "Example: tollbook quota --bootstrap-servers 127.0.0.1:9092 --catalog catalog --lake lake --webhooks webhooks.yaml",
    help_epilogue="",
)
app.command("tollbook.cli.grants:grant", name="grant", help_epilogue="")
app.command("tollbook.cli.grants:grants", name="grants", help_epilogue="")
app.command("tollbook.cli.enforcing.state:state", name="state", help_epilogue="")
if extras.is_installed("kafka"):
    from tollbook.cli.kafka.quota import quota

    app.default(quota)
else:
    app.default(extras.refusal("kafka", "quota"))
