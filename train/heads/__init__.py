"""Classifiers over frozen features: linear, logistic, svm and boosting."""
