"""`tollbook invoice`: the commands of the group. As in tollbook/cli/commands.py, a module waits for its command."""

from cyclopts import App

_COMMANDS = {
    "close": "tollbook.cli.invoices.commands:close",
    "rate": "tollbook.cli.invoices.commands:rate",
    "issue": "tollbook.cli.invoices.commands:issue",
    "show": "tollbook.cli.invoices.commands:show",
    "verify": "tollbook.cli.invoices.checking:verify",
    "unbilled": "tollbook.cli.invoices.checking:unbilled",
    "reprice": "tollbook.cli.invoices.comparing:reprice",
    "preview": "tollbook.cli.invoices.comparing:preview",
    "accruals": "tollbook.cli.invoices.accruals:accruals",
    "list": "tollbook.cli.invoices.listing:list_",
    "send": "tollbook.cli.invoices.receivables:send",
    "open": "tollbook.cli.invoices.receivables:open_",
    "propose": "tollbook.cli.invoices.approving:propose",
    "approve": "tollbook.cli.invoices.approving:approve",
    "credit": "tollbook.cli.invoices.corrections:credit",
    "void": "tollbook.cli.invoices.corrections:void",
    "rebill": "tollbook.cli.invoices.corrections:rebill",
    "adjust": "tollbook.cli.invoices.corrections:adjust",
}
app = App(
    name="invoice",
    help="From a finished month to invoices: close, rate, issue, show, verify, unbilled.\n\n"
    "Example: tollbook invoice issue --catalog examples/catalog --lake demo/lake --period 2026-10",
    help_epilogue="",
)
for _name, _target in _COMMANDS.items():
    app.command(_target, name=_name)
