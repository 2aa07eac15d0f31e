"""Where the shop delivers: the provinces of mainland China by their ISO 3166-2 codes."""

from __future__ import annotations

from typing import Final

REGIONS: Final = {
    "CN-AH": "Anhui 安徽",
    "CN-BJ": "Beijing 北京",
    "CN-CQ": "Chongqing 重庆",
    "CN-FJ": "Fujian 福建",
    "CN-GD": "Guangdong 广东",
    "CN-GS": "Gansu 甘肃",
    "CN-GX": "Guangxi 广西",
    "CN-GZ": "Guizhou 贵州",
    "CN-HA": "Henan 河南",
    "CN-HB": "Hubei 湖北",
    "CN-HE": "Hebei 河北",
    "CN-HI": "Hainan 海南",
    "CN-HL": "Heilongjiang 黑龙江",
    "CN-HN": "Hunan 湖南",
    "CN-JL": "Jilin 吉林",
    "CN-JS": "Jiangsu 江苏",
    "CN-JX": "Jiangxi 江西",
    "CN-LN": "Liaoning 辽宁",
    "CN-NM": "Inner Mongolia 内蒙古",
    "CN-NX": "Ningxia 宁夏",
    "CN-QH": "Qinghai 青海",
    "CN-SC": "Sichuan 四川",
    "CN-SD": "Shandong 山东",
    "CN-SH": "Shanghai 上海",
    "CN-SN": "Shaanxi 陕西",
    "CN-SX": "Shanxi 山西",
    "CN-TJ": "Tianjin 天津",
    "CN-XJ": "Xinjiang 新疆",
    "CN-XZ": "Tibet 西藏",
    "CN-YN": "Yunnan 云南",
    "CN-ZJ": "Zhejiang 浙江",
}
