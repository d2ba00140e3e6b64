"""What the binary documents of the sample corpus say, in the markup that build_samples.py reads and writes as files."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass
class Source:
    """One document to write: where it goes, its properties and its text."""

    path: str
    number: str
    title: str
    author: str
    created: datetime
    text: str


def _date(year: int, month: int, day: int) -> datetime:
    return datetime(year, month, day, 9, 0, 0, tzinfo=UTC)


INSTALLATION_GUIDE = """
# Kelvane Monitor: Installation Guide

This guide describes the installation of a Kelvane Monitor system with one or more Hubs of type H4 and the
software release 3.0 or later. For the older Hub H2 (software 2.x) use the archived guide TW-IG-020.

## 1 Scope of delivery

Check the delivery against the packing list before you start. Report missing or damaged parts within 7 days of
receipt, quoting the delivery note number.

| Part number | Item | Quantity | Mass |
| KV-H4-001 | Hub H4 with wall bracket | 1 | 620 g |
| KV-PS-012 | Power supply 12 V DC, 1.5 A, 1.8 m cable | 1 | 210 g |
| KV-ANT-868 | Antenna 868 MHz, SMA, 195 mm | 1 | 45 g |
| KV-CAB-03 | Patch cable Cat 5e, 3 m | 1 | 95 g |
| KV-MNT-05 | Mounting set: 4 screws 4 x 40 mm, 4 dowels, drilling template | 1 | 60 g |

Nodes and probes are ordered and packed separately. A carton of ten Nodes weighs approx. 3.5 kg. Each Node is
delivered with its battery fitted and an insulating strip between battery and contact; the Node is off until
the strip is pulled.

## 2 Planning the site

### 2.1 Choosing the place for the Hub

Mount the Hub vertically on a wall, antenna upwards, at a height between 1.8 m and 2.5 m. Keep at least 50 cm
distance from metal cabinets, cable trays and other radio antennas. The Hub must not be installed inside a
cold room: its permitted ambient temperature is 0 to 40 °C and it has no protection against condensation
(IP30).

The radio range between Hub and Node is 150 m in free line of sight and approx. 25 m inside buildings
through two light walls. A closed ultra-low-temperature freezer attenuates the signal by 20 to 30 dB, so
Nodes are always mounted outside the freezer and only the probe is led inside. Where the measured signal at
a Node is weaker than -95 dBm, add a repeater (part no. KV-RP1-001). One Hub supports at most four
repeaters, and a message can pass only one of them on its way.

### 2.2 Number of Nodes

One Hub H4 with release 3.0 or later serves up to 64 Nodes. A Console with a Plus licence manages up to 256
Nodes on all Hubs together. Plan a reserve of 10 % so that later additions do not require a further Hub.

<<pagebreak>>

## 3 Mounting and connecting the Hub

1. Hold the drilling template against the wall, mark the four holes and drill them with 6 mm diameter, 45 mm
deep.
2. Fix the bracket with the four screws; tighten them by hand to 1.2 Nm.
3. Screw the antenna onto the SMA socket. Do not use tools; hand-tight is sufficient.
4. Hang the Hub into the bracket and push it down until it clicks.
5. Connect the patch cable to socket LAN 1. Socket LAN 2 is for service only and is disabled on delivery.
6. Power the Hub either through LAN 1 (PoE according to IEEE 802.3af) or with the power supply KV-PS-012. If
both are connected, PoE has priority and the power supply is the reserve.
7. Wait until the STATUS lamp shows steady green. The first start takes up to 4 minutes.

The internal lithium-ion battery is charged to 80 % on delivery and bridges a power failure of up to 8
hours. It is fully charged after 5 hours of operation.

### 3.1 Meaning of the lamps

| Lamp | Colour | Meaning |
| STATUS | green, steady | normal operation |
| STATUS | green, flashing | start in progress or update being installed |
| STATUS | amber, steady | connected, but at least one Node is in alarm |
| STATUS | red, steady | no connection to the Console for more than 5 minutes |
| RADIO | blue, short flash | message received from a Node |
| POWER | amber, steady | running on battery (error E-201 is logged) |

## 4 Mounting the Nodes and probes

Fix each Node with the adhesive pad supplied or with two M3 screws to the side of the appliance, never to the
compressor housing. Lead the probe cable through the access port of the freezer. If there is no port, the flat
cable (part no. KV-FC-15, 0.4 mm thick) can be passed over the door gasket on the hinge side. Seal the
access port with the silicone plug and check after 24 hours that no ice has formed around it.

For appliances that hold biological samples, place the tip of the probe in the buffer vial BV10. The vial is
filled with 10 ml of propylene glycol and damps the effect of door openings: with the vial the time constant
is approx. 9 minutes, without it approx. 40 seconds. Do not use glycol vials below -60 °C; use the aluminium
block AB20 (part no. KV-AB20) instead.

<<pagebreak>>

## 5 Commissioning

### 5.1 Joining the Hub to the Console

Open the Console in a browser, choose **Devices > Add Hub** and type the serial number and the eight-digit
claim code printed on the label at the back of the Hub. The claim code is valid for one use. If the Hub has
been claimed before, a factory reset is required: press the recessed button RESET for 12 seconds until
STATUS flashes red.

### 5.2 Joining the Nodes

1. In the Console, open the Hub and choose **Start pairing**. Pairing mode ends by itself after 10 minutes.
2. Pull the insulating strip of the first Node. Its lamp flashes green three times when it has joined.
3. Give the Node a name that contains room and appliance, e.g. "B2.114 ULT-03".
4. Select the probe type and an alarm profile.
5. Repeat steps 2 to 4 for all Nodes, then choose **Stop pairing**.

Nodes with a firmware older than 2.4 cannot join a Hub H4 and must be updated over the service cable first.

### 5.3 Acceptance test

Carry out the acceptance test for each measuring point before samples are stored, and keep the signed record
(form TW-F-031) for at least as long as the samples.

| Test | How | Passed if |
| Signal | Read the signal level in the Console with all doors closed | -95 dBm or stronger |
| Plausibility | Compare with a calibrated reference thermometer after 60 min | deviation at most 1.0 °C |
| High alarm | Warm the probe by hand until the limit is exceeded | message arrives within delay + 2 min |
| Power failure | Disconnect PoE and power supply for 15 min | E-201 is logged, no measured value is lost |
| Lost Node | Remove the battery of one Node | E-101 appears after 3 missed intervals |

## 6 Decommissioning

Before a Hub is taken out of service, export its data and choose **Devices > Retire Hub**. This deletes the
customer's certificates and the local buffer. Return the Hub or dispose of it as electronic waste; WEEE
registration number DE 41870663. Lithium batteries must be removed first and their terminals covered with
tape.
"""

SPECIFICATIONS = """
# Kelvane Monitor: Technical Specifications

Data sheet for Hub H4, Nodes T1, T2 and D1 and their probes, software release 3.2. All values apply at an
ambient temperature of 23 °C unless stated otherwise. Values of the discontinued Hub H2 are in document
TW-DS-012.

## 1 Hub H4

| Property | Value |
| Part number | KV-H4-001 (868 MHz), KV-H4-002 (915 MHz) |
| Dimensions (W x H x D) | 182 x 118 x 41 mm without antenna |
| Mass | 620 g |
| Supply | PoE IEEE 802.3af or 12 V DC, 1.5 A |
| Power consumption | 3.8 W typical, 6.5 W maximum while charging |
| Backup battery | lithium-ion, 3.7 V, 2600 mAh; up to 8 h operation |
| Ambient temperature | 0 to 40 °C in operation, -20 to 60 °C in storage |
| Relative humidity | 10 to 85 %, not condensing |
| Degree of protection | IP30 |
| Nodes per Hub | 64 |
| Local buffer | 90 days at an interval of 5 minutes |
| Interfaces | 2 x Ethernet 100BASE-TX, 1 x relay output 24 V / 1 A, 1 x USB-C (service) |

The relay output is potential-free and drops out in the event of an alarm (normally energised), so that a
broken wire to the building management system is recognised as well.

## 2 Nodes

| Property | Node T1 | Node T2 | Node D1 |
| Part number | KV-T1-010 | KV-T2-010 | KV-D1-010 |
| Inputs | 1 probe | 2 probes | door contact, ambient sensor |
| Dimensions | 92 x 58 x 27 mm | 92 x 58 x 27 mm | 74 x 58 x 24 mm |
| Mass with battery | 118 g | 124 g | 96 g |
| Battery life, 5 min interval | 4 years | 3 years | 5 years |
| Degree of protection | IP54 | IP54 | IP42 |
| Local memory | 8,000 values | 16,000 values | 4,000 events |

All Nodes use one lithium thionyl chloride cell, 3.6 V, 2.6 Ah, size AA (part no. KV-BAT-36). The ambient
temperature of a Node may lie between -10 and 50 °C. The logging interval can be set from 1 to 60 minutes; the
default is 5 minutes. At an interval of 1 minute the life of the battery of a T1 falls to approx. 14 months.

<<pagebreak>>

## 3 Probes

| Part number | Type | Range | Accuracy | Cable |
| KV-P85 | Pt1000, class A, 4-wire | -100 to +50 °C | ±0.15 °C at 0 °C; ±0.3 °C at -80 °C | 3 m PTFE |
| KV-P196 | thermocouple type T | -200 to +100 °C | ±1.0 °C at -196 °C | 2 m PTFE |
| KV-PINC | Pt1000, class A | 0 to +60 °C | ±0.1 °C at +37 °C | 2 m silicone |
| KV-PCO2 | infrared CO2 sensor | 0 to 20 % vol. | ±0.4 % vol. at 5 % vol. | 1.5 m PUR |

The resolution of all temperature probes is 0.01 °C in the Console and in the API. Long-term drift of the
P85 is less than 0.05 °C per year when it is used between -90 and +30 °C.

## 4 Radio

| Property | 868 MHz version | 915 MHz version |
| Frequency band | 868.0 to 868.6 MHz | 902 to 928 MHz |
| Transmitting power | 14 dBm (25 mW) e.r.p. | 20 dBm (100 mW) |
| Duty cycle | at most 1 % | frequency hopping, 50 channels |
| Receiver sensitivity | -112 dBm | -110 dBm |
| Encryption | AES-128-CCM, one key per Node | AES-128-CCM, one key per Node |

## 5 Console

The Console runs on the customer's own server as a set of containers. Minimum equipment for up to 64 Nodes:
4 CPU cores, 8 GB of memory and 100 GB of disk space. For up to 256 Nodes: 8 CPU cores, 16 GB of memory and
400 GB. For each further 100 Nodes add 2 CPU cores and 150 GB. Supported operating systems are current Linux
distributions with kernel 5.10 or later; Windows Server is not supported since release 3.0.

The user interface is available in English, German, French and Swedish. Recipients per alarm profile: 40 in
release 3.2, 20 in releases 3.0 and 3.1.

## 6 Measuring performance of the system

The measurement uncertainty of a complete chain of T1 and P85, calibrated at three points, is 0.25 °C (k =
2) over the range from -90 to +30 °C. The clock of the Hub is synchronised by NTP; a measured value is
time-stamped with a deviation of at most 2 seconds. After a radio interruption the Nodes transmit the stored
values with their original time stamps; the backlog of one day is transmitted in approx. 6 minutes.
"""

CALIBRATION = """
# Calibration Procedure for Temperature Probes

Procedure CP-07, revision 4. Owner: Dr. Ines Vollmer, head of the calibration laboratory. The procedure
applies to probes KV-P85 and KV-PINC connected to Nodes T1 and T2. Thermocouples KV-P196 are calibrated
according to CP-09.

## 1 Principle

The probe is compared with a reference thermometer in a stirred bath or a dry-block calibrator. The whole
chain of probe and Node is calibrated, not the probe alone; the correction is stored in the Node. If a probe
is exchanged or moved to another Node, the calibration is void and error E-115 is shown until a new one has
been recorded.

## 2 Interval

The interval between calibrations is 12 months. It may be extended to 24 months for a measuring point if the
last three calibrations needed no adjustment and the risk assessment of the operator permits it. Probes for
vaccines and for clinical samples are excluded from the extension.

## 3 Equipment

- Reference thermometer with a valid certificate, expanded uncertainty at most 0.05 °C (k = 2)
- Stirred alcohol bath or dry block, range at least -90 to +40 °C
  - stability within 0.02 °C over 10 minutes
  - homogeneity within 0.03 °C between the wells
- Tablet or laptop with access to the Console, role Calibration or Administrator
- Labels KV-LBL-CAL

## 4 Calibration points

| Probe | Point 1 | Point 2 | Point 3 | Permissible deviation as found |
| KV-P85 in ULT freezer | -80 °C | -40 °C | 0 °C | 0.5 °C |
| KV-P85 in refrigerator | 0 °C | +5 °C | +25 °C | 0.3 °C |
| KV-PINC in incubator | +20 °C | +37 °C | +45 °C | 0.2 °C |

Points are approached from warm to cold. The immersion depth is at least 120 mm or 15 times the diameter of
the probe, whichever is greater.

<<pagebreak>>

## 5 Procedure

1. In the Console, set the measuring point to **Maintenance**. Alarms are suppressed for 4 hours at most.
2. Clean the probe with 70 % ethanol, let it dry and inspect cable and sleeve for damage.
3. Place probe and reference thermometer in the bath with their tips at the same depth, at most 20 mm apart.
4. Wait for 30 minutes after the bath has reached the point.
5. Record ten readings of both instruments at intervals of 30 seconds and form the mean values.
6. Repeat steps 4 and 5 for the other two points.
7. If a deviation is greater than half of the permissible one, adjust with **Calibration > Adjust** and
repeat.
8. Enter the certificate number of the reference and sign the record electronically.
9. Attach the label with the date of the next calibration and end the maintenance mode.

## 6 Evaluation

The deviation is the mean value of the probe minus the mean value of the reference. A measuring point that
was out of tolerance as found must be reported to the quality manager of the operator within one working
day, because stored material may have been affected since the last valid calibration.

### 6.1 Worked example

The following values were recorded on 12 January 2026 for the measuring point "B2.114 ULT-03" (Node serial
number T1-2508-00417, reference RT-11).

| Point | Reference | Probe | Deviation | Permissible | Result |
| -80 °C | -80.02 °C | -79.71 °C | +0.31 °C | 0.50 °C | adjusted |
| -40 °C | -40.01 °C | -39.84 °C | +0.17 °C | 0.50 °C | passed |
| 0 °C | 0.00 °C | +0.06 °C | +0.06 °C | 0.50 °C | passed |

At -80 °C the deviation exceeded half of the permissible value (0.25 °C), so the chain was adjusted. After the
adjustment the deviation at -80 °C was +0.04 °C.

## 7 Records

Calibration records are kept for 15 years as part of the audit trail. Certificates issued by the Tarnwell
laboratory carry a number of the form KL-yyyy-nnnn, e.g. KL-2026-0417, and can be downloaded from the
Console as PDF. On-site calibration by Tarnwell is offered from 10 measuring points; the lead time is
approx. 4 weeks.
"""

WARRANTY = """
# Warranty and Returns

Conditions for products of the Kelvane family delivered on or after 1 January 2025. They supplement the
general terms of sale and apply to business customers in the European Economic Area, Switzerland and the
United Kingdom.

## 1 Warranty periods

| Product | Warranty period | Starts with |
| Hub H4 and repeater RP1 | 36 months | date of delivery |
| Nodes T1, T2 and D1 | 24 months | date of delivery |
| Probes and cables | 12 months | date of delivery |
| Batteries and other consumables | 6 months | date of delivery |
| Repaired or exchanged parts | 6 months, or the rest of the original period if longer | return to customer |

For products delivered before 1 January 2025, including all Hubs of type H2, the warranty period is 24
months for Hubs and 12 months for Nodes.

## 2 What is covered

Tarnwell repairs or exchanges, at its own choice and cost, products that fail because of faults in material or
workmanship. Transport to the repair centre is paid by the customer and transport back by Tarnwell. An advance
exchange, i.e. delivery of the replacement before the faulty part has arrived, is included in the Premium
support plan only.

## 3 What is not covered

- Damage by liquid inside a Hub, or by operation outside the specified temperature range
- Probes whose cable was shortened, kinked or caught in the door
- Batteries that were not supplied by Tarnwell, and damage by their leakage
- Discoloration and scratches that do not affect the function
- Loss of stored material: the liability for samples is limited to EUR 25,000 per event, unless the law
requires otherwise

Opening the housing of a Hub ends the warranty. Opening a Node to exchange the battery does not.

<<pagebreak>>

## 4 How to return a product

1. Open a ticket in the support portal and describe the fault; attach a support bundle if the Hub still works.
2. Support sends an RMA number. The RMA number is valid for 30 days.
3. Remove batteries from Nodes and pack them separately in accordance with UN 3090, packing instruction 969.
4. Decontaminate the parts and enclose the signed declaration (form TW-F-044). Parcels without this
declaration are not opened and are sent back at the customer's expense.
5. Write the RMA number on the outside of the parcel and send it to: Tarnwell Instruments GmbH, Repair Centre,
Hafenweg 14, Gate 3, 28195 Bremen, Germany.

A repair takes 10 working days on average, counted from the arrival of the parcel. If the product is not
covered by the warranty, a quotation is sent; it is open for acceptance for 21 days. The inspection fee for
products without a fault is EUR 65.

## 5 Returning goods that are not faulty

Unused goods in the original packing are accepted within 14 days of delivery. A restocking fee of 15 % of
the net price is charged. Calibrated probes, software licences and goods made to order cannot be returned.

## 6 Exchange programme for Hub H2

Operators of a Hub H2 receive a discount of 20 % on a Hub H4 if the H2 is handed in. The programme ends on
30 September 2026, and it cannot be combined with other discounts. The Hub H2 reaches the end of its support
on 31 December 2026; after this date neither security updates nor repairs will be available.
"""

CONSOLE_MANUAL = """
# Kelvane Console: Administrator Manual

This manual is for administrators of the Kelvane Console, release 3.2. It covers user accounts, alarm
handling, backup and the audit trail. Installation of the hardware is described in the Installation Guide
(TW-IG-040).

## User accounts and roles

Accounts are either local or come from the directory service of the customer (LDAP or OpenID Connect). Local
accounts are meant for small sites and for the emergency account that every installation should have.
Passwords of local accounts have at least 12 characters; after five failed attempts the account is locked
for 15 minutes.

| Role | See values | Acknowledge alarms | Change limits | Calibrate | Manage users |
| Viewer | yes | no | no | no | no |
| Operator | yes | yes | no | no | no |
| Calibration | yes | yes | no | yes | no |
| Supervisor | yes | yes | yes | no | no |
| Administrator | yes | yes | yes | yes | yes |

A session ends after 30 minutes without activity. Administrators can set a value between 5 and 120 minutes
under **Settings > Security**. Two-factor authentication with one-time codes (TOTP) is available for all
roles and compulsory for Administrators since release 3.1.

## Alarm acknowledgement

An alarm is acknowledged by an Operator or a higher role with a comment of at least 10 characters. If nobody
acknowledges an alarm within 15 minutes, it is escalated to the second group of the alarm profile; after a
further 30 minutes it goes to the third group. Acknowledging stops the escalation, but the alarm remains
active until the value is back within the limits and, for alarms of priority 1, until a Supervisor has
closed it.

## Backup and restore

The Console writes an encrypted backup every night at 02:30 local time to the folder configured under
**Settings > Backup**. Backups are kept for 35 days. The backup contains the database, the certificates and
the configuration, but not the log files.

1. Stop the services with the command kelvane stop.
2. Run kelvane restore and give the path of the backup file.
3. Type the backup passphrase. Without the passphrase a backup cannot be restored, not even by Tarnwell.
4. Start the services with kelvane start and check the number of measuring points on the overview page.

Restoring a backup of 10 GB takes approx. 25 minutes. Test the restore at least once a year on a separate
server.

## Audit trail

Every change to limits, users, calibrations and alarm profiles is recorded with the old and the new value,
the name of the user, the time in UTC and the reason given. The entries are chained by a hash so that a
later change can be recognised. The audit trail cannot be switched off and is kept for 15 years.

### Exporting the audit trail

Choose **Reports > Audit trail**, select the period and the format (PDF or CSV). An export comprises at most
12 months; longer periods are split into several files. PDF exports are signed with the certificate of the
Console.

## Licence

The licence key is bound to the host name of the Console. When the number of Nodes exceeds the licence, the
system goes on measuring and alarming for a grace period of 60 days, but no further Nodes can be added.
"""

MAINTENANCE = """
# Preventive Maintenance Schedule

Document TW-MS-015, valid for installations with Hub H4. The schedule lists the minimum; the operator's own
quality system or local regulations may require shorter intervals. Each task is recorded in the Console
under **Maintenance > Log**.

## Overview

| Task | Interval | By whom | Duration |
| Check the alarm overview and open acknowledgements | daily | operator | 5 min |
| Visual check of probe cables and door seals | monthly | operator | 10 min per room |
| Alarm test with message to all recipients | every 3 months | supervisor | 30 min |
| Clean the Hub's ventilation slots with a dry brush | every 6 months | technician | 10 min |
| Power failure test of the Hub (15 min on battery) | every 6 months | technician | 25 min |
| Calibration of the temperature probes | every 12 months | calibration staff | 2 h per probe |
| Test restore of a backup on a separate server | every 12 months | administrator | 2 h |
| Exchange of the Hub's backup battery (KV-BAT-H4) | every 5 years | Tarnwell service | 20 min |

## Notes on the tasks

### Alarm test

The quarterly alarm test uses the function **Test alarm** of the profile. Do not warm real samples for the
test. The test is passed if every recipient has received the message within 5 minutes by each configured
channel. Recipients who cannot be reached for two tests in a row are removed from the profile and reported
to the supervisor.

### Power failure test

Announce the test to the people on call. Disconnect PoE and power supply for 15 minutes and watch that error
E-201 appears within 60 seconds. At the end of the test the battery must show at least 90 %. If it shows
less than 70 %, exchange it regardless of its age.

### Batteries of the Nodes

Node batteries are exchanged when the Console shows E-102 or after 4 years, whichever comes first. Exchange
the batteries of one room together to save visits.
- Use only cells with part no. KV-BAT-36.
- Write the date of exchange on the cell with a waterproof pen.
  - Format: year and month, e.g. 2026-03.
- Values stored in the Node are preserved for 20 minutes without a battery.

## Spare parts to keep on site

For every 20 measuring points keep one Node T1, two probes P85, four cells KV-BAT-36 and one buffer vial
BV10 in stock. Cells are stored at 10 to 25 °C and used within 10 years of manufacture. Sites with only one
Hub should keep a cold-standby Hub H4; its battery is recharged every 6 months.
"""

RETENTION = """
# Data-Retention Policy for the Kelvane Cloud Services and Support

Policy P-11, version 5, effective 1 March 2026. Approved by Dr. Matthias Orlow, managing director. Data
protection officer: Helene Aasgaard, privacy@tarnwell.example.

## Purpose

This policy states how long Tarnwell Instruments keeps data of its customers and when the data are deleted.
It applies to the SMS relay, the update service, the support portal and to data handed over for the analysis
of faults. Data within a customer's own Console are controlled by the customer; the defaults of the software
are listed for information.

## Retention periods

| Kind of data | Kept for | Then |
| Support tickets and correspondence | 6 years after closing | deleted |
| Support bundles (log files, configuration) | 60 days after the ticket is closed | deleted |
| Telephone numbers and texts in the SMS relay | 14 days | deleted |
| Update service: IP address, serial number, release | 12 months | made anonymous |
| Portal accounts that were deactivated | 90 days | deleted |
| Invoices and delivery notes | 10 years | deleted |
| Calibration certificates issued by the laboratory | 15 years | offered to customer, then deleted |

## Defaults of the Console

Since release 3.0 the Console keeps measured values for 10 years by default. In release 2.x the default was
5 years, and an upgrade does not change a value that was set before. Values older than 24 months are
condensed to hourly mean, minimum and maximum unless **Keep raw values** is switched on. The audit trail is
kept for 15 years in every release since 2.4.

## Deletion and exceptions

Deletion takes place automatically in the first week of each month. Copies in backups of Tarnwell are
overwritten after 35 days at the latest. A deletion is suspended if there is a legal claim, an order by an
authority or a written request by the customer ("legal hold"). Requests for information or erasure are
answered within 30 days; they are to be sent to the data protection officer. Support bundles are stored on
servers in Germany and Finland only.
"""

OPERATOR_TRAINING = """
# Kelvane Monitor: Operator Training

Module 1 for laboratory staff

Duration: 90 minutes, release 3.2

Notes: Welcome the group and ask who already works with alarms of another system. Hand out the quick
reference cards.

# What the system does

- Nodes measure the temperature of each appliance every 5 minutes
- The Hub collects the values by radio and passes them to the Console
- The Console checks limits, sends alarms and keeps the records
- If the network fails, the Hub stores values for 90 days
  - nothing is lost; gaps are filled afterwards

Notes: Stress that the Hub's buffer was only 30 days in release 2.1. People who worked with the H2 remember
the old figure.

# Default alarm limits

| Appliance | Warning | Alarm | Delay |
| ULT freezer (-80 °C) | -70 °C | -65 °C | 20 min |
| Freezer (-20 °C) | -17 °C | -15 °C | 20 min |
| Refrigerator (2 to 8 °C) | below 2.5 or above 7.5 °C | below 2 or above 8 °C | 15 min |
| Liquid nitrogen vessel | -160 °C | -150 °C | 5 min |
| Incubator (37 °C) | 36.5 or 37.5 °C | 36 or 38 °C | 10 min |

# When an alarm arrives

- Read the message: room, appliance, value, time
- Acknowledge within 15 minutes, or the alarm is escalated
- Go to the appliance and look at its own display
- Door open? Close it and wait for 20 minutes
- Temperature still rising? Move samples to the reserve freezer
  - ULT reserve: room B2.120, keep at least one third free
- Write a comment of at least 10 characters

Notes: Role play: one participant receives the message, another one plays the supervisor. A ULT freezer
warms up by approx. 0.2 °C per minute with the door closed, so there is time to think.

# Door openings

- Keep the door of a ULT freezer open for less than 60 seconds
- After an opening of 60 seconds the recovery takes approx. 18 minutes
- Never open it twice within 10 minutes: the vacuum lock needs time
- Prepare a list of positions before you open the door

# Common mistakes

- Switching an alarm profile off instead of using **Maintenance**
- Moving a probe to another shelf without a note in the log
- Acknowledging an alarm for a colleague without looking at the appliance
- Writing "ok" as a comment: the Console refuses it

# Questions for the end

- Who may close an alarm of priority 1? A Supervisor or Administrator
- How long may Maintenance last? 4 hours at most
- Whom do you call at night? The on-call number on the yellow card, extension 4417

Notes: Participants sign the attendance list (form TW-F-052). The certificate is valid for two years.
"""

ADMIN_TRAINING = """
# Kelvane Monitor: Administrator Training

Module 2 for IT and facility staff

Duration: one day, release 3.2

Notes: Participants need a laptop with an SSH client. The training server is reset every evening.

# Architecture

- **Node to Hub:** 868 MHz radio, AES-128-CCM
- **Hub to Console:** MQTT over TLS, port 8883, client certificates
- **Browser to Console:** HTTPS, port 443
- **Console to the world:** SMTP 587, SMS relay 8443, updates 443
- Unencrypted MQTT on port 1883 was removed in release 3.0

# Limits by release

| Release | Nodes per Hub | Hub buffer | Recipients per profile | API requests per min |
| 2.1 | 32 | 30 days | 8 | 60 |
| 2.4 | 48 | 30 days | 12 | 60 |
| 3.0 | 64 | 90 days | 20 | 120 |
| 3.2 | 64 | 90 days | 40 | 300 |

Notes: The figures for 2.x apply to the Hub H2. Release 3.x does not run on the H2.

# Certificates

- The Console is its own certificate authority for the Hubs
- Hub certificates are valid for 398 days and renewed 30 days before they end
- E-402 appears when a renewal has failed and 14 days are left
- Clock wrong by more than 120 seconds? Renewal fails: look at NTP first

# Updates

- Updates are signed; the signature is checked by Console and Hub
- Order: first the Console, then the Hubs, last the Nodes
- A Hub restarts in approx. 4 minutes; Nodes store values meanwhile
- Never update more than half of the Hubs of a building at once
- Rollback to the previous release is possible for 14 days

Notes: Show the rollback on the training server. Database migrations of 3.0 cannot be rolled back; a backup
is needed.

# Monitoring the monitor

- SNMP traps (162/UDP) or the health endpoint /api/v3/health
- Watch: disk space, backup age, certificate days, NTP offset
- A heartbeat message is sent to the on-call group each Monday at 08:00
  - if it does not arrive, the alarm chain is broken

# Exercises

- Join a Hub and two Nodes
- Create an alarm profile with three groups
- Restore last night's backup on the second server
- Create an API token with the scope read:values and fetch one day of data

Notes: Allow 90 minutes for the exercises. Solutions are in the folder training/solutions on the training
server.
"""

SOURCES: tuple[Source, ...] = (
    Source(
        "guides/installation-guide.pdf",
        "TW-IG-040 rev. 6",
        "Kelvane Monitor: Installation Guide",
        "Tarnwell Technical Documentation",
        _date(2026, 4, 21),
        INSTALLATION_GUIDE,
    ),
    Source(
        "specifications/technical-specifications.pdf",
        "TW-DS-032 rev. 2",
        "Kelvane Monitor: Technical Specifications",
        "Tarnwell Technical Documentation",
        _date(2026, 4, 28),
        SPECIFICATIONS,
    ),
    Source(
        "service/calibration-procedure.pdf",
        "CP-07 rev. 4",
        "Calibration Procedure for Temperature Probes",
        "Dr. Ines Vollmer",
        _date(2026, 1, 19),
        CALIBRATION,
    ),
    Source(
        "policies/warranty-and-returns.pdf",
        "TW-WR-008 rev. 3",
        "Warranty and Returns",
        "Tarnwell Customer Service",
        _date(2026, 1, 5),
        WARRANTY,
    ),
    Source(
        "guides/console-administrator-manual.docx",
        "TW-UM-041 rev. 2",
        "Kelvane Console: Administrator Manual",
        "Tarnwell Technical Documentation",
        _date(2026, 5, 4),
        CONSOLE_MANUAL,
    ),
    Source(
        "service/maintenance-schedule.docx",
        "TW-MS-015 rev. 5",
        "Preventive Maintenance Schedule",
        "Tarnwell Customer Service",
        _date(2026, 2, 2),
        MAINTENANCE,
    ),
    Source(
        "policies/data-retention-policy.docx",
        "P-11 version 5",
        "Data-Retention Policy for the Kelvane Cloud Services and Support",
        "Helene Aasgaard",
        _date(2026, 2, 20),
        RETENTION,
    ),
    Source(
        "training/operator-training.pptx",
        "TR-01",
        "Kelvane Monitor: Operator Training",
        "Tarnwell Academy",
        _date(2026, 5, 11),
        OPERATOR_TRAINING,
    ),
    Source(
        "training/administrator-training.pptx",
        "TR-02",
        "Kelvane Monitor: Administrator Training",
        "Tarnwell Academy",
        _date(2026, 5, 12),
        ADMIN_TRAINING,
    ),
)
