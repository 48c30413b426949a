from .escapes import Plant as Plant
from .escapes import plant as plant
from .escapes import rates_of as rates_of
from .text import plant_json as plant_json
from .text import plant_page as plant_page
from .text import plant_text as plant_text
from .text import write_plant as write_plant
