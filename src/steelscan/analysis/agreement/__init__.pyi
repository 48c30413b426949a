from .agreement import Band as Band
from .agreement import SubmissionAgreement as SubmissionAgreement
from .agreement import compare_submissions as compare_submissions
from .agreement import read_band as read_band
from .text import write_agreement as write_agreement
