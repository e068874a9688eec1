"""The command line `voicebox`. [io] One file per sub-command, each with add_arguments(parser) and run(args) -> exit code.

Exit codes: 0 done, 1 could not be done, 2 wrong usage, 130 interrupted. An error is one paragraph on standard error: what happened and what to do.
A sub-command's file is imported only when it is asked for, so that a relay loads nothing of the rest.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any

from voicebox.errors import UsageError, VoiceboxError

COMMANDS: dict[tuple[str, ...], tuple[str, str]] = {
    ("init",): ("init", "make a box: own certificate authority, box certificate, settings"),
    ("run",): ("run_box", "run the box"),
    ("up",): ("up", "run the box with its page, and print a link to it"),
    ("page",): ("page", "a link to the page of a running box, good once"),
    ("status",): ("status", "ask a running box or relay how it is"),
    ("reload",): ("reload", "let a running box take its dial plan and contacts anew"),
    ("dnd",): ("dnd", "do not disturb, for the house or for one phone"),
    ("path",): ("path", "how the paths of a running box are chosen now"),
    ("doctor",): ("doctor", "look for what stands in the way: of this machine, and of a box or relay"),
    ("stay-awake",): ("stay_awake", "keep the processors of a virtual machine awake, where its host wakes them too late for calls"),
    ("voicemail",): ("voicemail", "the messages that contacts left, where they are taken"),
    ("missed",): ("missed", "who called and was not answered, where that is kept"),
    ("phone", "add"): ("phone_add", "make an account for a softphone"),
    ("phone", "qr"): ("phone_qr", "let Linphone fetch its account from a running box, once: a QR code"),
    ("phone", "show"): ("phone_show", "print a phone's account again: a card, or what its application reads"),
    ("phone", "revoke"): ("phone_revoke", "serve a phone no longer"),
    ("phone", "ca"): ("phone_ca", "write the certificate by which phones know their box over TLS"),
    ("phone", "run"): ("phone_run", "the built-in softphone"),
    ("contact", "card"): ("contact_card", "print the card to give to others"),
    ("contact", "add"): ("contact_add", "add somebody's card under a petname"),
    ("contact", "list"): ("contact_list", "print the contacts"),
    ("contact", "show"): ("contact_show", "print what is known of a contact"),
    ("contact", "rename"): ("contact_rename", "give a contact another petname"),
    ("contact", "block"): ("contact_block", "no more calls with a contact, either way: to it the box is off"),
    ("contact", "unblock"): ("contact_unblock", "calls with a contact again"),
    ("contact", "accept"): ("contact_accept", "decide about another card that came for a contact"),
    ("contact", "remove"): ("contact_remove", "forget a contact"),
    ("service", "add"): ("service_add", "offer a program here to contacts"),
    ("service", "list"): ("service_list", "print what is offered to whom"),
    ("service", "remove"): ("service_remove", "offer something no longer"),
    ("forward", "add"): ("forward_add", "let a port here lead to a contact's service"),
    ("forward", "list"): ("forward_list", "print the ports that lead to contacts' services"),
    ("forward", "remove"): ("forward_remove", "let a port lead nowhere any more"),
    ("intercept", "on"): ("intercept_on", "let programs, or devices of the LAN, reach contacts by name without being configured"),
    ("intercept", "off"): ("intercept_off", "intercept nothing any more"),
    ("intercept", "status"): ("intercept_status", "whether anything is intercepted, and for whom"),
    ("uplinks", "list"): ("uplinks_list", "which lines of this machine lead to relays, and which are used"),
    ("uplinks", "use"): ("uplinks_use", "choose the line over which links leave, or two"),
    ("uplinks", "off"): ("uplinks_off", "let links leave as the system sends"),
    ("wireguard", "add"): ("wireguard_add", "let a phone away from home reach its box: a tunnel, and a QR code for it"),
    ("wireguard", "remove"): ("wireguard_remove", "forget a device of the tunnel"),
    ("probe",): ("probe", "how a call with a contact would sound, without ringing them"),
    ("invite",): ("invite", "words, and a QR code, by which a friend's box and this one become contacts"),
    ("invited",): ("invited", "what became of the invitations; add who came"),
    ("accept",): ("accept", "become a contact of who gave you words or a QR code"),
    ("verify",): ("verify", "compare a code with a contact in a call, so that nobody can stand between you"),
    ("backup",): ("backup", "write everything of a box or relay into one file, sealed with a passphrase"),
    ("restore",): ("restore", "make a box or relay out of its backup"),
    ("seal",): ("seal", "seal the keys and contacts of a box or relay with a passphrase"),
    ("unseal",): ("unseal", "take the passphrase off again"),
    ("dialplan", "check"): ("dialplan_check", "say what is wrong with a dial plan"),
    ("dialplan", "test"): ("dialplan_test", "run the tests that stand in a dial plan"),
    ("dialplan", "explain"): ("dialplan_explain", "say which rule decides about a call, and why those before it do not"),
    ("relay", "init"): ("relay_init", "make a relay: keys, descriptor, settings"),
    ("relay", "offer"): ("relay_offer", "let a box relay for others too, or no more"),
    ("relay", "card"): ("relay_card", "print a relay's card, for friends who may use it whether it is in the list or not"),
    ("relay", "add"): ("relay_add", "let a box use a relay by its card"),
    ("relay", "remove"): ("relay_remove", "forget the cards of an operator's relays"),
    ("relay", "run"): ("relay_run", "run the relay"),
    ("relay", "renew"): ("relay_renew", "sign the relay's descriptor anew: other addresses, another year"),
    ("relay", "vouch"): ("relay_vouch", "vouch for relays, and admit those with enough vouchers"),
    ("cert", "issue"): ("cert_issue", "a certificate of your authority for a device or service of the house"),
    ("cert", "list"): ("cert_list", "the certificates that were issued, and the list of revoked ones for contacts"),
    ("cert", "revoke"): ("cert_revoke", "take back the certificates of a device or service"),
    ("cert", "check"): ("cert_check", "whose device or service a certificate is, under your name for them"),
    ("cert", "ca"): ("cert_ca", "write the certificate by which browsers know contacts' services over TLS"),
    ("network", "create"): ("network_create", "make a network: its id, voucher keys, threshold"),
    ("network", "key"): ("network_key", "make a voucher key, for a network that somebody else creates"),
    ("network", "value"): ("network_value", "sign the shared random values of coming periods"),
    ("network", "add"): ("network_add", "put relays into a network file"),
    ("network", "join"): ("network_join", "let a box or relay belong to a network, by its line"),
    ("network", "update"): ("network_update", "take newer relays of the network"),
    ("demo",): ("demo", "a real call over an embedded network, with a report"),
}
GROUPS = {
    "phone": "softphones",
    "contact": "contacts",
    "service": "what contacts may reach here",
    "forward": "what contacts offer",
    "intercept": "programs that know nothing of contacts",
    "uplinks": "the lines of this machine",
    "wireguard": "phones away from home",
    "dialplan": "dial plans",
    "relay": "relays",
    "cert": "certificates of devices",
    "network": "networks",
}
EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    wanted = _wanted(words)
    parser = argparse.ArgumentParser(prog="voicebox", description="Private calls between softphones at home.")
    _add_commands(parser, wanted)
    try:
        args = parser.parse_args(words)
        if "command" not in args:
            parser.print_help(sys.stderr)
            return EXIT_USAGE
        return int(args.command(args))
    except VoiceboxError as problem:
        print(f"voicebox: {problem}", file=sys.stderr)
        return EXIT_USAGE if isinstance(problem, UsageError) else EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has enough; Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return EXIT_FAILED


def _wanted(words: list[str]) -> tuple[str, ...]:
    """Return which command the words name."""
    for length in (1, 2):
        if tuple(words[:length]) in COMMANDS:
            return tuple(words[:length])
    return ()


def _add_commands(parser: argparse.ArgumentParser, wanted: tuple[str, ...]) -> None:
    top = parser.add_subparsers(metavar="COMMAND")
    groups: dict[str, Any] = {}
    for name, text in GROUPS.items():
        group = top.add_parser(name, help=text)
        group.set_defaults(command=lambda _args, group=group: _print_help(group))
        groups[name] = group.add_subparsers(metavar="COMMAND")
    for words, (module, text) in COMMANDS.items():
        where = groups[words[0]] if len(words) == 2 else top
        command = where.add_parser(words[-1], help=text, description=text[0].upper() + text[1:] + ".")
        if words == wanted:
            loaded = importlib.import_module(f"voicebox.cli.{module}")
            loaded.add_arguments(command)
            command.set_defaults(command=loaded.run)


def _print_help(parser: argparse.ArgumentParser) -> int:
    parser.print_help(sys.stderr)
    return EXIT_USAGE
