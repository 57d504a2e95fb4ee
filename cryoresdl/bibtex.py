"""
@article{avramov2019,
  title={Deep Learning for Validating and Estimating Resolution of Cryo-Electron Microscopy Density Maps},
  author={Avramov, Todor Kirilov and Vyenielo, Dan and Gomez-Blanco, Josue and Adinarayanan, Swathi and Vargas, Javier and Si, Dong},
  journal={Molecules},
  volume={24},
  number={6},
  pages={1181},
  year={2019},
  publisher={MDPI},
  doi={10.3390/molecules24061181}
}

@article{vilas2018,
  title={MonoRes: Automatic and Accurate Estimation of Local Resolution for Electron Microscopy Maps},
  author={Vilas, Jose Luis and Gomez-Blanco, Josue and Conesa, Pablo and Melero, Roberto and de la Rosa-Trevin, Jose Miguel and Oton, Joaquin and Cuenca, Jesus and Marabini, Roberto and Carazo, Jose Maria and Vargas, Javier and Sorzano, Carlos Oscar S.},
  journal={Structure},
  volume={26},
  number={2},
  pages={337--344},
  year={2018},
  doi={10.1016/j.str.2017.12.018}
}

@article{kucukelbir2014,
  title={Quantifying the local resolution of cryo-EM density maps},
  author={Kucukelbir, Alp and Sigworth, Fred J. and Tagare, Hemant D.},
  journal={Nature Methods},
  volume={11},
  number={1},
  pages={63--65},
  year={2014},
  doi={10.1038/nmeth.2727}
}

@article{rosenthal2003,
  title={Optimal determination of particle orientation, absolute hand, and contrast loss in single-particle electron cryomicroscopy},
  author={Rosenthal, Peter B. and Henderson, Richard},
  journal={Journal of Molecular Biology},
  volume={333},
  number={4},
  pages={721--745},
  year={2003},
  doi={10.1016/j.jmb.2003.07.013}
}

@article{chen2013,
  title={High-resolution noise substitution to measure overfitting and validate resolution in 3D structure determination by single particle electron cryomicroscopy},
  author={Chen, Shaoxia and McMullan, Greg and Faruqi, Abdul R. and Murshudov, Garib N. and Short, Judith M. and Scheres, Sjors H. W. and Henderson, Richard},
  journal={Ultramicroscopy},
  volume={135},
  pages={24--35},
  year={2013},
  doi={10.1016/j.ultramic.2013.06.004}
}

@article{grant2018,
  title={cisTEM, user-friendly software for single-particle image processing},
  author={Grant, Timothy and Rohou, Alexis and Grigorieff, Nikolaus},
  journal={eLife},
  volume={7},
  pages={e35383},
  year={2018},
  doi={10.7554/eLife.35383}
}
"""
