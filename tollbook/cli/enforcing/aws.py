"""`tollbook aws`: the group. boto3 is imported with its command only."""

from cyclopts import App

app = App(
    name="aws",
    help="Decisions for AWS API Gateway.\n\n"
    "Example: tollbook aws enforce --lake my-lake --catalog examples/catalog --region eu-central-1",
    help_epilogue="",
)
app.command("tollbook.cli.enforcing.enforce:enforce", name="enforce", help_epilogue="")
