#!/usr/bin/env python3
"""Makes lease.pdf, the document that the README reads. The people and places are invented.

    python3 -m venv venv && venv/bin/pip install reportlab
    venv/bin/python examples/lease.py examples/lease.pdf

The fonts are Liberation Serif and Liberation Sans (SIL Open Font License), embedded as subsets.
"""

import sys

from reportlab import rl_config
from reportlab.lib.enums import TA_CENTER, TA_JUSTIFY
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import (
    BaseDocTemplate,
    Frame,
    FrameBreak,
    NextPageTemplate,
    PageBreak,
    PageTemplate,
    Paragraph,
    Spacer,
    Table,
    TableStyle,
)

rl_config.invariant = 1
FONTS = "/usr/share/fonts/truetype/liberation2/Liberation"
for name, file in {
    "Serif": "Serif-Regular",
    "Serif-Bold": "Serif-Bold",
    "Serif-Italic": "Serif-Italic",
    "Serif-BoldItalic": "Serif-BoldItalic",
    "Sans": "Sans-Regular",
    "Sans-Bold": "Sans-Bold",
}.items():
    pdfmetrics.registerFont(TTFont(name, f"{FONTS}{file}.ttf"))
pdfmetrics.registerFontFamily(
    "Serif", normal="Serif", bold="Serif-Bold", italic="Serif-Italic", boldItalic="Serif-BoldItalic"
)

MARGIN = 25 * mm
PAGES = 3

body = ParagraphStyle(
    "body", fontName="Serif", fontSize=10.5, leading=13.5, alignment=TA_JUSTIFY, spaceAfter=5,
    embeddedHyphenation=1, bulletFontName="Serif", bulletFontSize=10.5,
)
title = ParagraphStyle(
    "title", fontName="Sans-Bold", fontSize=20, leading=25, alignment=TA_CENTER, spaceAfter=4
)
subtitle = ParagraphStyle(
    "subtitle", fontName="Serif-Italic", fontSize=12, leading=15, alignment=TA_CENTER, spaceAfter=14
)
heading = ParagraphStyle(
    "heading", fontName="Sans-Bold", fontSize=12.5, leading=16, spaceBefore=9, spaceAfter=5
)
clause = ParagraphStyle("clause", parent=body, leftIndent=28, bulletIndent=0)
item = ParagraphStyle("item", parent=body, leftIndent=50, bulletIndent=28, spaceAfter=3)
bullet = ParagraphStyle("bullet", parent=body, leftIndent=14, bulletIndent=2, spaceAfter=3)
cell = ParagraphStyle("cell", parent=body, alignment=0, spaceAfter=0)
head = ParagraphStyle("head", parent=cell, fontName="Serif-Bold")
note = ParagraphStyle("note", parent=body, fontSize=8.5, leading=10.5)


def furniture(canvas, document):
    """The running header and footer."""
    width, height = A4
    canvas.saveState()
    canvas.setFont("Sans", 8.5)
    canvas.drawString(MARGIN, height - 15 * mm, "Lease of Unit 4, Harbour Works")
    canvas.drawRightString(width - MARGIN, height - 15 * mm, "CONFIDENTIAL")
    canvas.setLineWidth(0.4)
    canvas.line(MARGIN, height - 17 * mm, width - MARGIN, height - 17 * mm)
    canvas.drawString(MARGIN, 12 * mm, "Marlow Quay Estates Ltd / Fenwick Ceramics Ltd")
    canvas.drawRightString(width - MARGIN, 12 * mm, f"Page {document.page} of {PAGES}")
    canvas.restoreState()


def numbered(number, text, style=clause):
    return Paragraph(text, style, bulletText=number)


def rent_schedule():
    rows = [
        ("Year", "Period", "Annual rent", "Monthly instalment"),
        ("1", "1 April 2025 to 31 March 2026", "£18,000", "£1,500.00"),
        ("2", "1 April 2026 to 31 March 2027", "£18,540", "£1,545.00"),
        ("3", "1 April 2027 to 31 March 2028", "£19,096", "£1,591.33"),
        ("4", "1 April 2028 to 31 March 2029", "£19,669", "£1,639.08"),
        ("5", "1 April 2029 to 31 March 2030", "£20,259", "£1,688.25"),
    ]
    table = Table(
        [[Paragraph(text, head if r == 0 else cell) for text in row] for r, row in enumerate(rows)],
        colWidths=[15 * mm, 68 * mm, 35 * mm, 42 * mm],
    )
    table.setStyle(
        TableStyle([
            ("LINEABOVE", (0, 0), (-1, 0), 0.8, "black"),
            ("LINEBELOW", (0, 0), (-1, 0), 0.5, "black"),
            ("LINEBELOW", (0, -1), (-1, -1), 0.8, "black"),
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ])
    )
    return table


def contacts():
    rows = [
        ("Party", "Address for notices", "Contact"),
        (
            "Landlord",
            "Marlow Quay Estates Ltd, 2 Customs House Lane, Port Ellery PE4 2QT",
            "R. Adeyemi, Estates Manager",
        ),
        (
            "Tenant",
            "Fenwick Ceramics Ltd, Unit 4, Harbour Works, Dock Road, Port Ellery PE4 7LN",
            "J. Fenwick, Director",
        ),
    ]
    table = Table(
        [[Paragraph(text, head if r == 0 else cell) for text in row] for r, row in enumerate(rows)],
        colWidths=[24 * mm, 86 * mm, 50 * mm],
    )
    table.setStyle(TableStyle([("GRID", (0, 0), (-1, -1), 0.5, "black"), ("VALIGN", (0, 0), (-1, -1), "TOP")]))
    return table


def story():
    yield Paragraph("LEASE AGREEMENT", title)
    yield Paragraph("Unit 4, Harbour Works, Dock Road, Port Ellery", subtitle)
    yield Paragraph(
        "This lease is made on 14 March 2025 between <b>Marlow Quay Estates Ltd</b>, a company "
        "registered in England under number 07412209 (the <b>Landlord</b>), and <b>Fenwick Ceramics "
        "Ltd</b>, a company registered in England under number 09928114 (the <b>Tenant</b>).",
        body,
    )
    yield Paragraph("1. Definitions", heading)
    yield numbered("1.1", "In this lease the following words have the meanings given to them:")
    for number, text in [
        ("(a)", "<b>Premises</b> means the ground-floor workshop known as Unit 4, coloured pink on "
                "the attached plan, with a floor area of 212 square metres;"),
        ("(b)", "<b>Term</b> means five years beginning on 1 April 2025 and ending on 31 March 2030;"),
        ("(c)", "<b>Permitted Use</b> means the making, firing and sale of ceramics, and the "
                "well-established classes that go with it, within Class E of the Use Classes "
                "Order<super>1</super>;"),
        ("(d)", "<b>Deposit</b> means £4,500, held by an independent stakeholder."),
    ]:
        yield numbered(number, text, item)
    yield numbered("1.2", "Headings are for convenience and do not affect the inter\xadpretation of this lease.")
    yield Paragraph("2. Grant and Term", heading)
    yield numbered(
        "2.1",
        "The Landlord lets the Premises to the Tenant for the Term, together with the right to use "
        "the loading bay and the shared yard at all reasonable hours, subject to the rules in Schedule "
        "2 and to any repre\xadsentation made in writing before the date of this lease.",
    )
    yield numbered(
        "2.2",
        "The Tenant may end this lease on 31 March 2028 by giving the Landlord at least six months' "
        "written notice, provided that all rent due by that date has been paid.",
    )
    yield Paragraph("3. Rent", heading)
    yield numbered(
        "3.1",
        "The Tenant pays the rent set out in Schedule 1 by equal monthly instal\xadments in advance on "
        "the first working day of each month, without deduction or set-off.",
    )
    yield numbered(
        "3.2",
        "Rent that is more than fourteen days late bears interest at 4% a year above the base rate of "
        "the Bank of England, from the date on which it fell due until the date of payment.",
    )
    yield numbered(
        "3.3",
        "The rent is exclusive of value added tax, which the Tenant pays in addition on receipt of a "
        "valid invoice.",
    )
    yield Paragraph("4. Repair, Insurance and Alterations", heading)
    yield numbered(
        "4.1",
        "The Tenant keeps the interior of the Premises in good repair, fair wear and tear excepted, and "
        "has the kilns inspected at least once every twelve months by a qualified engineer.",
    )
    yield numbered(
        "4.2",
        "The Landlord keeps the structure, the roof and the shared services in repair and insures the "
        "building for its full rein\xadstatement value.",
    )
    yield numbered(
        "4.3",
        "The Tenant makes no structural alteration. Non-structural alterations need the Land\xadlord's "
        "written consent, which is not to be unreasonably withheld or delayed.",
    )
    yield Paragraph("5. Assignment and Termination", heading)
    yield numbered(
        "5.1",
        "The Tenant may assign the whole of this lease, but not a part of it, with the Landlord's "
        "consent. A sub-letting of the whole or of a part is not allowed.",
    )
    yield numbered("5.2", "The Landlord may re-enter the Premises and end this lease if:")
    for number, text in [
        ("(a)", "any rent is unpaid for twenty-one days, whether demanded or not;"),
        ("(b)", "the Tenant is in substantial breach and has not put it right within thirty days of a "
                "written notice that describes it; or"),
        ("(c)", "the Tenant enters liquidation, other than a solvent recon\xadstruction."),
    ]:
        yield numbered(number, text, item)
    yield numbered(
        "5.3",
        "On termination the Tenant removes its kilns and stock, makes good any damage caused by their "
        "removal, and returns the Premises with vacant possession.",
    )
    yield numbered(
        "5.4",
        "The Deposit is returned within twenty-eight days of the end of the Term, less any sum that the "
        "Tenant owes under this lease and of which the Landlord has given an itemised account.",
    )
    yield Paragraph("6. Notices", heading)
    yield numbered(
        "6.1",
        "A notice under this lease is valid only if it is in writing and delivered by hand or by "
        "recorded post to the address below. Copies may be sent to "
        '<a href="mailto:notices@marlowquay.example">notices@marlowquay.example</a>.',
    )
    yield Spacer(1, 2)
    yield contacts()
    yield Spacer(1, 9)
    yield Paragraph(
        "<super>1</super> The Town and Country Planning (Use Classes) Order 1987, as amended from time to time.",
        note,
    )
    yield NextPageTemplate("schedules")
    yield PageBreak()
    yield Paragraph("Schedule 1: Rent", heading)
    yield Paragraph("The rent rises by three per cent a year. It is payable to the account named in each invoice.", body)
    yield rent_schedule()
    yield Paragraph("Schedule 2: Rules of the Estate", heading)
    yield FrameBreak()
    yield Paragraph(
        "<b>Deliveries.</b> Goods are received between 7.00 and 18.00 on working days. A vehicle may "
        "stand in the loading bay for no longer than forty minutes, and its engine is switched off "
        "while it stands there.", body)
    yield Paragraph(
        "<b>Waste.</b> Glaze residue and kiln wash are hazardous waste. They are stored in the locked "
        "cage and collected by a licensed carrier; they never enter the yard drains.", body)
    yield Paragraph("The Tenant keeps clear at all times:", body)
    for text in ["the fire exits and the turning circle;", "the electricity substation; and", "the sprinkler valves."]:
        yield Paragraph(text, bullet, bulletText="•")
    yield FrameBreak()
    yield Paragraph(
        "<b>Noise.</b> Extractor fans are switched off between 22.00 and 6.00, unless a firing is in "
        "progress that cannot safely be inter\xadrupted.", body)
    yield Paragraph(
        "<b>Signs.</b> One sign of up to two square metres may be fixed beside the main door. Its "
        "design is agreed with the Landlord beforehand.", body)
    yield Paragraph(
        "<b>Access.</b> The Landlord may enter on two working days' notice to inspect, and at any time "
        "in an emergency.", body)
    yield FrameBreak()
    yield Paragraph("Signatures", heading)
    yield Paragraph("Signed as a deed by the parties on the date stated at the beginning of this lease.", body)
    yield Spacer(1, 20)
    signatures = Table(
        [
            [Paragraph("<b>For the Landlord</b>", cell), Paragraph("<b>For the Tenant</b>", cell)],
            [Paragraph("R. Adeyemi, Estates Manager", cell), Paragraph("J. Fenwick, Director", cell)],
            [Paragraph("Date: 14 March 2025", cell), Paragraph("Date: 14 March 2025", cell)],
        ],
        colWidths=[80 * mm, 80 * mm],
    )
    signatures.setStyle(TableStyle([("LEFTPADDING", (0, 0), (-1, -1), 0)]))
    yield signatures


def main(path):
    width, height = A4
    inner = width - 2 * MARGIN
    zero = dict(leftPadding=0, rightPadding=0, topPadding=0, bottomPadding=0)
    whole = Frame(MARGIN, 22 * mm, inner, height - 44 * mm, **zero)
    gutter = 9 * mm
    half = (inner - gutter) / 2
    document = BaseDocTemplate(
        path, pagesize=A4, title="Lease Agreement: Unit 4, Harbour Works", author="Marlow Quay Estates Ltd"
    )
    document.addPageTemplates([
        PageTemplate("text", [whole], onPage=furniture),
        PageTemplate(
            "schedules",
            [
                Frame(MARGIN, 203 * mm, inner, height - 225 * mm, **zero),
                Frame(MARGIN, 134 * mm, half, 68 * mm, **zero),
                Frame(MARGIN + half + gutter, 134 * mm, half, 68 * mm, **zero),
                Frame(MARGIN, 22 * mm, inner, 110 * mm, **zero),
            ],
            onPage=furniture,
        ),
    ])
    document.build(list(story()))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "lease.pdf")
